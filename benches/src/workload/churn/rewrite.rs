//! Compaction on demand: its speed compared with a load of the same rows, and the memory of a large compaction.

use std::num::NonZeroU64;

use super::{NAME, Sizes, TABLE, fresh, place, series};
use crate::engines::{CAYENNE, Engine};
use crate::measure::{Metric, Outcome, Results};
use crate::process::Process;
use crate::protocol::{OpenSettings, Request};
use crate::report::goal::Goal;
use crate::report::table::{Row, Section, Unit};
use crate::workload::Options;
use crate::workload::load::{self, ALL};
use crate::{Result, data, events};

const REWRITE: &str = "rewrite";
const LOAD: &str = "load";
const LARGE: &str = "large rewrite";
const COUNT: &str = "SELECT count(*) AS events FROM events";

/// The memory limit for passes on the large table.
const POOL_BYTES: u64 = 256 << 20;
/// The memory limit for the rest of the process.
const BESIDE_BYTES: u64 = 200 << 20;

pub(super) fn run(cayenne: &Engine, sizes: &Sizes, options: &Options, outcome: &mut Outcome) {
    for round in 1..=options.rounds {
        println!("{NAME}: rewrite, round {round} of {}", options.rounds);
        let done = small_files(cayenne, sizes, options, outcome);
        outcome.keep("compaction of small files", done);
    }
    println!("{NAME}: rewrite of a large table");
    let done = large(cayenne, sizes, options, outcome);
    outcome.keep("compaction of a large table", done);
}

fn small_files(cayenne: &Engine, sizes: &Sizes, options: &Options, outcome: &mut Outcome) -> Result<()> {
    let (commits, rows_per_commit) = sizes.files;
    let rows = f64::from(u32::try_from(commits * rows_per_commit)?);
    let source = events::prepare(&options.data, commits * rows_per_commit)?;
    cayenne.reset()?;
    let left_alone = OpenSettings { is_left_alone: true, ..OpenSettings::default() };
    let (mut process, _) = cayenne.open_with(left_alone)?;
    let tables = vec![TABLE.to_owned()];
    process.ask(&Request::Prepare { source: source.clone(), rows_per_commit, tables, key: None })?;
    process.ask(&Request::Append { table: TABLE.to_owned(), commits })?;
    let compacted = process.ask(&Request::Compact { table: TABLE.to_owned() })?;
    let bytes = compacted.numbers.get("bytes_read").ok_or("a pass says what it has read")?;
    outcome.record(place(REWRITE, ALL), Metric::RowsPerS, rows / compacted.wall_ms * 1e3);
    outcome.record(place(REWRITE, ALL), Metric::BytesPerS, bytes / compacted.wall_ms * 1e3);
    outcome.record(place(REWRITE, ALL), Metric::CpuMs, compacted.cpu_ms);
    process.close()?;
    let mut process = fresh(cayenne)?;
    let loaded = process.ask(&Request::Load { table: TABLE.to_owned(), source, key: None })?;
    outcome.record(place(LOAD, ALL), Metric::RowsPerS, rows / loaded.wall_ms * 1e3);
    outcome.record(place(LOAD, ALL), Metric::CpuMs, loaded.cpu_ms);
    process.close()?;
    Ok(())
}

fn large(cayenne: &Engine, sizes: &Sizes, options: &Options, outcome: &mut Outcome) -> Result<()> {
    let mut process = load_often(cayenne, options, sizes.loads.0, None)?;
    let before = count(&mut process)?;
    process.close()?;
    let settings = OpenSettings { compaction_bytes: Some(POOL_BYTES), is_left_alone: true, ..OpenSettings::default() };
    let (mut process, opened) = cayenne.open_with(settings)?;
    load::record_peak(place(LARGE, load::BEFORE), &opened, outcome);
    let compacted = process.ask(&Request::Compact { table: TABLE.to_owned() })?;
    let bytes = compacted.numbers.get("bytes_read").ok_or("a pass says what it has read")?;
    outcome.record(place(LARGE, ALL), Metric::DiskBytes, *bytes);
    outcome.record(place(LARGE, ALL), Metric::WallMs, compacted.wall_ms);
    outcome.record(place(LARGE, ALL), Metric::BytesPerS, bytes / compacted.wall_ms * 1e3);
    load::record_peak(place(LARGE, ALL), &compacted, outcome);
    if count(&mut process)? != before {
        return Err("the table has another number of rows than before it was compacted".into());
    }
    process.close()?;
    cayenne.reset()
}

/// Loads `lineitem` several times into one table without background maintenance.
pub(super) fn load_often(
    cayenne: &Engine,
    options: &Options,
    times: usize,
    target_file_mb: Option<NonZeroU64>,
) -> Result<Process> {
    data::prepare(&options.data, options.sf, &["lineitem"])?;
    cayenne.reset()?;
    let (mut process, _) = cayenne.open_with(OpenSettings { is_left_alone: true, ..OpenSettings::default() })?;
    for _ in 0..times {
        let source = data::file(&options.data, "lineitem");
        process.ask(&Request::Insert { table: TABLE.to_owned(), source, target_file_mb })?;
    }
    Ok(process)
}

fn count(process: &mut Process) -> Result<crate::answer::Answer> {
    let request = Request::Query { id: ALL.to_owned(), sql: COUNT.to_owned(), answer: true };
    process.ask(&request)?.answer.ok_or_else(|| "no rows in the reply".into())
}

pub(super) fn sections(results: Results<'_>) -> Vec<Section> {
    let row = |label: &str, section, metric| Row::of_subject(label, results, series(section, metric), ALL);
    let rows = vec![
        row("compacting 40 data files: rows", REWRITE, Metric::RowsPerS),
        row("loading the same rows", LOAD, Metric::RowsPerS),
        row("CPU of compacting", REWRITE, Metric::CpuMs),
        row("CPU of loading", LOAD, Metric::CpuMs),
        row("compacting: bytes that are read", REWRITE, Metric::BytesPerS),
        row("a large table: bytes that are read", LARGE, Metric::DiskBytes),
        row("in", LARGE, Metric::WallMs),
        row("which are", LARGE, Metric::BytesPerS),
        row("peak memory of that, with a pool of 256 MiB", LARGE, Metric::PeakRssBytes),
    ];
    vec![Section::of_rows("Compaction on demand", Unit::PerRow, rows).in_text()]
}

pub(super) fn goals(results: Results<'_>) -> Vec<Goal> {
    let of = |section, metric| results.median(series(section, metric), ALL, CAYENNE);
    let (rewritten, loaded) = (of(REWRITE, Metric::RowsPerS), of(LOAD, Metric::RowsPerS));
    vec![
        Goal::ratio_at_least("compaction rows/s vs load", rewritten, loaded, 0.7),
        Goal::bytes("peak memory of a large rewrite", of(LARGE, Metric::PeakRssBytes), POOL_BYTES + BESIDE_BYTES),
    ]
}
