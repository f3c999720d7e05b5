//! TPC-H: loads eight tables, then runs 22 queries in fresh processes and in a warm one. All answers must agree.

use std::collections::BTreeMap;

use crate::Result;
use crate::answer::Answer;
use crate::data::TABLES;
use crate::engines::{CAYENNE, Engine, Engines, open_all};
use crate::measure::{Metric, Outcome, Place, Results, Series};
use crate::process::Process;
use crate::protocol::{Reply, Request};
use crate::report::goal::Goal;
use crate::report::table::{Row, Section, Table, Unit};
use crate::workload::compare::compare;
use crate::workload::load::{self, ALL, BEFORE, LOAD};
use crate::workload::queries::{self, Query};
use crate::workload::{Options, QUERY_ENGINES, Workload};

const NAME: &str = "tpch";
const COLD: &str = "cold";
const WARM: &str = "warm";

/// The workload; see the module.
pub(super) struct Tpch;

impl Workload for Tpch {
    fn name(&self) -> &'static str {
        NAME
    }

    fn describe(&self) -> &'static str {
        "Loads the eight TPC-H tables from Parquet, each durable before it counts as loaded, and runs the 22 queries. \
         Cold is the first query of a fresh process while the operating system's file cache is warm. \
         Warm is a process that has run all queries once; engines take turns within each query."
    }

    fn engines(&self) -> &'static [&'static str] {
        QUERY_ENGINES
    }

    fn run(&self, engines: &mut Engines, options: &Options) -> Result<Outcome> {
        let mut outcome = Outcome::default();
        load::measure(engines, &TABLES, options.load_rounds, options, &mut outcome)?;
        cold(engines, options, &mut outcome);
        warm(engines, options, &mut outcome);
        Ok(outcome)
    }

    fn table(&self, results: Results<'_>) -> Table {
        let ids = queries::ids();
        let section = |title: &str, series, subjects: &[&str]| Section::of_subjects(title, results, series, subjects);
        Table {
            sections: vec![
                summary(results),
                section("Warm queries, wall time", series(WARM, Metric::WallMs), &ids).in_text(),
                section("Warm queries, CPU time", series(WARM, Metric::CpuMs), &ids),
                section("Cold queries, wall time", series(COLD, Metric::WallMs), &ids),
                section("Load by table, wall time", series(LOAD, Metric::WallMs), &TABLES),
                section("Load by table, CPU time", series(LOAD, Metric::CpuMs), &TABLES),
            ],
        }
    }

    fn goals(&self, results: Results<'_>) -> Vec<Goal> {
        let warm = |metric| move |engine: &str| results.total(series(WARM, metric), &queries::ids(), engine);
        let load = |subject, metric| move |engine: &str| results.median(series(LOAD, metric), subject, engine);
        vec![
            Goal::ratio("warm total vs parquet", warm(Metric::WallMs), "parquet", 0.6),
            Goal::ratio("warm total vs duckdb", warm(Metric::WallMs), "duckdb", 2.3),
            Goal::ratio("warm total CPU vs parquet", warm(Metric::CpuMs), "parquet", 0.6),
            Goal::ratio("warm total CPU vs duckdb", warm(Metric::CpuMs), "duckdb", 2.3),
            Goal::ratio("load CPU vs duckdb", load(ALL, Metric::CpuMs), "duckdb", 1.0),
            Goal::ratio("load CPU of lineitem vs duckdb", load("lineitem", Metric::CpuMs), "duckdb", 1.0),
            Goal::ratio("bytes on disk vs duckdb", load(ALL, Metric::DiskBytes), "duckdb", 1.0),
            Goal::bytes("load peak memory", load(ALL, Metric::PeakRssBytes)(CAYENNE), 1 << 30),
        ]
    }
}

fn series(section: &'static str, metric: Metric) -> Series<'static> {
    Series { workload: NAME, section, metric }
}

fn summary(results: Results<'_>) -> Section {
    let ids = queries::ids();
    let load = |label: &str, subject, metric| Row::of_subject(label, results, series(LOAD, metric), subject);
    let total = |label: &str, section, metric| Row::of_total(label, results, series(section, metric), &ids);
    let rows = vec![
        load("load: wall time", ALL, Metric::WallMs),
        load("load: CPU time", ALL, Metric::CpuMs),
        load("load of lineitem: wall time", "lineitem", Metric::WallMs),
        load("load of lineitem: CPU time", "lineitem", Metric::CpuMs),
        load("load: peak memory", ALL, Metric::PeakRssBytes),
        load("memory before the load", BEFORE, Metric::PeakRssBytes),
        load("bytes on disk", ALL, Metric::DiskBytes),
        total("22 queries warm: wall time", WARM, Metric::WallMs),
        total("22 queries warm: CPU time", WARM, Metric::CpuMs),
        total("22 queries cold: wall time", COLD, Metric::WallMs),
        total("22 queries cold: CPU time", COLD, Metric::CpuMs),
        Row::of_subject("queries: peak memory", results, series(WARM, Metric::PeakRssBytes), ALL),
    ];
    Section::of_rows("Summary", Unit::PerRow, rows).in_text()
}

/// Runs every query as the first query of a fresh process.
fn cold(engines: &Engines, options: &Options, outcome: &mut Outcome) {
    for round in 1..=options.cold_rounds {
        println!("tpch: cold round {round} of {}", options.cold_rounds);
        for query in queries::ALL {
            for engine in engines.usable() {
                let what = format!("{} {} cold", engine.name, query.id);
                if let Some(reply) = outcome.keep(&what, cold_once(engine, query, options)) {
                    record(COLD, query.id, engine.name, &reply, outcome);
                }
            }
        }
    }
}

fn cold_once(engine: &Engine, query: Query, options: &Options) -> Result<Reply> {
    let (mut process, _) = engine.open()?;
    let reply = process.ask(&request(query, options, false))?;
    process.close()?;
    Ok(reply)
}

/// Runs all queries once without measuring and compares the answers, then measures them round by round.
fn warm(engines: &Engines, options: &Options, outcome: &mut Outcome) {
    let mut running = open_all(engines, outcome);
    println!("tpch: warm-up, and comparing answers");
    let mut expected_rows = BTreeMap::new();
    for query in queries::ALL {
        let answers = answers(&mut running, query, options, outcome);
        compare(query.id, query.ordered, &answers, outcome);
        expected_rows.extend(answers.iter().map(|(engine, answer)| ((query.id, *engine), answer.rows.len())));
    }
    for round in 1..=options.rounds {
        println!("tpch: warm round {round} of {}", options.rounds);
        // The first engine of a round is the last of the next round, so that no engine always follows the same one.
        let next = usize::from(!running.is_empty());
        running.rotate_left(next);
        for query in queries::ALL {
            warm_once(&mut running, query, options, &expected_rows, outcome);
        }
    }
    close_all(running, outcome);
}

fn warm_once(
    running: &mut [(&Engine, Process)],
    query: Query,
    options: &Options,
    expected_rows: &BTreeMap<(&str, &str), usize>,
    outcome: &mut Outcome,
) {
    for (engine, process) in running {
        // A query that gave no answer in the warm-up is already recorded as a problem and is not run again.
        let Some(expected) = expected_rows.get(&(query.id, engine.name)) else {
            continue;
        };
        let what = format!("{} {} warm", engine.name, query.id);
        let Some(reply) = outcome.keep(&what, process.ask(&request(query, options, false))) else {
            continue;
        };
        if reply.rows != *expected as u64 {
            outcome.problem(format!("{what}: {} rows, and {expected} in the warm-up", reply.rows));
        }
        record(WARM, query.id, engine.name, &reply, outcome);
    }
}

fn answers<'a>(
    running: &mut [(&'a Engine, Process)],
    query: Query,
    options: &Options,
    outcome: &mut Outcome,
) -> Vec<(&'a str, Answer)> {
    let mut answers = Vec::new();
    for (engine, process) in running {
        let reply = process.ask(&request(query, options, true));
        let answer = reply.and_then(|reply| reply.answer.ok_or_else(|| "no rows in the reply".into()));
        let answer = outcome.keep(&format!("{} {}", engine.name, query.id), answer);
        answers.extend(answer.map(|answer| (engine.name, answer)));
    }
    answers
}

fn close_all(running: Vec<(&Engine, Process)>, outcome: &mut Outcome) {
    for (engine, process) in running {
        if let Some(closed) = outcome.keep(&format!("{} close", engine.name), process.close()) {
            load::record_peak(Place { section: WARM, subject: ALL, engine: engine.name }, &closed, outcome);
        }
    }
}

fn record(section: &str, subject: &str, engine: &str, reply: &Reply, outcome: &mut Outcome) {
    let place = Place { section, subject, engine };
    outcome.record(place, Metric::WallMs, reply.wall_ms);
    outcome.record(place, Metric::CpuMs, reply.cpu_ms);
}

fn request(query: Query, options: &Options, answer: bool) -> Request {
    Request::Query { id: query.id.to_owned(), sql: query.sql(options.sf), answer }
}
