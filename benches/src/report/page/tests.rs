//! Tests of the page with a synthetic report.

use super::*;
use crate::engines::Skipped;
use crate::machine::{Machine, version};
use crate::measure::{Metric, Outcome, Place, Results, Series};
use crate::report::goal::Goal;
use crate::workload::Options;

const SERIES: Series<'static> = Series { workload: "tpch", section: "warm", metric: Metric::WallMs };

fn outcome() -> Outcome {
    let mut outcome = Outcome::default();
    for (engine, sample) in [("cayenne", 50.0), ("parquet", 100.0)] {
        outcome.record(Place { section: "warm", subject: "q01", engine }, Metric::WallMs, sample);
    }
    for measurement in &mut outcome.measurements {
        "tpch".clone_into(&mut measurement.workload);
    }
    outcome
}

fn report(outcome: Outcome) -> Report {
    let options = Options {
        sf: 0.01,
        threads: 2,
        rounds: 5,
        cold_rounds: 1,
        load_rounds: 1,
        quick: false,
        smoke: false,
        data: "data".into(),
    };
    let goal = Goal::ratio_of("warm total vs parquet", Some(5.0), Some(10.0), 0.6);
    Report {
        format: crate::report::FORMAT,
        started: "20260101T000000Z".to_owned(),
        command: "cargo xtask bench tpch --sf 0.01".to_owned(),
        machine: Machine { processor: "A <fast> one".to_owned(), cores: 2, ..Machine::default() },
        versions: vec![version("datafusion", "55.2.0")],
        engines: vec!["cayenne".to_owned(), "parquet".to_owned()],
        skipped: vec![Skipped { engine: "duckdb".to_owned(), reason: "no Python".to_owned() }],
        options,
        noise_before: Noise::default(),
        noise_after: Noise::default(),
        workloads: vec![WorkloadReport {
            name: "tpch".to_owned(),
            description: "Queries.".to_owned(),
            goals: vec![goal],
        }],
        measurements: outcome.measurements.into_iter().map(Into::into).collect(),
        problems: vec!["q07 differs".to_owned()],
    }
}

fn page() -> String {
    let outcome = outcome();
    let engines = ["cayenne".to_owned(), "parquet".to_owned()];
    let results = Results { measurements: &outcome.measurements, engines: &engines };
    let section = Section::of_subjects("Warm queries", results, SERIES, &["q01"]);
    let table = Table { sections: vec![section] };
    render(&report(outcome), &[table]).unwrap()
}

#[test]
fn page_shows_numbers_ratios_goals_and_problems() {
    let page = page();
    for expected in
        ["50 ms", "100 ms", "0.50", "Warm queries", "warm total vs parquet", "no Python", "q07 differs", "55.2.0"]
    {
        assert!(page.contains(expected), "{expected} is missing");
    }
}

#[test]
fn page_needs_no_other_file() {
    let page = page();
    for outside in ["http:", "https:", "src=", "href=\"/", "@import", "url("] {
        assert!(!page.contains(outside), "{outside} is there");
    }
}

#[test]
fn text_from_the_machine_is_escaped() {
    let page = page();
    assert!(page.contains("A &lt;fast&gt; one"));
    assert!(page.contains("<rect class=\"e0\""), "charts are not escaped");
}

#[test]
fn json_states_format_medians_and_samples() {
    let report = serde_json::to_value(report(outcome())).unwrap();
    assert_eq!(report["format"], 1);
    assert_eq!(report["measurements"][0]["median"], 50.0);
    assert_eq!(report["measurements"][0]["samples"][0], 50.0);
    assert_eq!(report["workloads"][0]["goals"][0]["met"], true);
}
