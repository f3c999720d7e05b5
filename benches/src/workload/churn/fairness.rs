//! One table with a long compaction pass, and many others that are also worth a pass.

use std::num::NonZeroU64;
use std::time::Duration;

use cayenne_format::CompactionOptions;

use super::rewrite::load_often;
use super::{NAME, Sizes, TABLE, place, series};
use crate::engine::COMMITS_WORTH_A_PASS;
use crate::engines::{CAYENNE, Engine};
use crate::measure::{Metric, Outcome, Results, percentile};
use crate::protocol::Request;
use crate::report::goal::Goal;
use crate::report::table::{Row, Section, Unit};
use crate::workload::Options;
use crate::workload::load::ALL;
use crate::{Result, events};

const FAIRNESS: &str = "fairness";
const P50: &str = "p50";
const LARGEST: &str = "max";

/// Large enough that all data files of the table count as small and become one file in one pass.
const TARGET_FILE_MB: Option<NonZeroU64> = NonZeroU64::new(8_192);
const ROWS_PER_COMMIT: usize = 1_000;

pub(super) fn run(cayenne: &Engine, sizes: &Sizes, options: &Options, outcome: &mut Outcome) -> Result<()> {
    println!("{NAME}: one long pass, and those of {} other tables", sizes.tables);
    load_often(cayenne, options, sizes.loads.1, TARGET_FILE_MB)?.close()?;
    let (mut process, _) = cayenne.open()?;
    let source = events::prepare(&options.data, COMMITS_WORTH_A_PASS * ROWS_PER_COMMIT)?;
    let prepare = Request::Prepare { source, rows_per_commit: ROWS_PER_COMMIT, tables: vec![], key: None };
    process.ask(&prepare)?;
    let reply = process.ask(&Request::Fairness { large: TABLE.to_owned(), tables: sizes.tables })?;
    for (subject, percent) in [(P50, 50), (LARGEST, 100)] {
        outcome.record(place(FAIRNESS, subject), Metric::WallMs, percentile(&reply.lap_ms, percent));
    }
    outcome.record_bytes(place(FAIRNESS, ALL), Metric::Files, reply.rows);
    process.close()?;
    cayenne.reset()
}

pub(super) fn sections(results: Results<'_>) -> Vec<Section> {
    let row = |label: &str, metric, subject| Row::of_subject(label, results, series(FAIRNESS, metric), subject);
    let rows = vec![
        row("from the last commit to a pass: median", Metric::WallMs, P50),
        row("the longest", Metric::WallMs, LARGEST),
        row("tables of 19 that were compacted beside the long pass", Metric::Files, ALL),
    ];
    vec![Section::of_rows("19 tables beside one with a pass of 2 GB", Unit::PerRow, rows).in_text()]
}

pub(super) fn goals(results: Results<'_>) -> Vec<Goal> {
    let longest = results.median(series(FAIRNESS, Metric::WallMs), LARGEST, CAYENNE);
    let interval = Duration::from_millis(CompactionOptions::default().background_interval_ms);
    vec![Goal::ms("others compacted beside a long pass", longest, 2e3 * interval.as_secs_f64())]
}
