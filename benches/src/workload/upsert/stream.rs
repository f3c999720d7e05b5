//! The stream: one writer upserts one batch after the other, between two scans.

use super::{Run, SCAN_SQL, TABLE, WARM_UP_TABLE, series};
use crate::accounts::KEY;
use crate::answer::{Answer, Cell};
use crate::engines::{CAYENNE, DUCKDB_FORMS, Engine, Engines};
use crate::measure::{Metric, Outcome, Place, Results, percentile};
use crate::process::Process;
use crate::protocol::{Reply, Request};
use crate::report::goal::Goal;
use crate::report::table::{Row, Section, Unit};
use crate::workload::Options;
use crate::workload::compare::compare;
use crate::workload::load::{self, ALL, BEFORE};
use crate::workload::scan::Scan;
use crate::{Result, folders};

const STREAM: &str = "stream";
const SCAN: &str = "scan";
const AFTER: &str = "after";
const KEY_INDEX: &str = "key index";

/// Subjects of the stream. Each repetition gives one latency: the median, the 99th percentile, or the largest.
const P50: &str = "p50";
const P99: &str = "p99";
const LARGEST: &str = "max";
/// Includes closing the database, which may do work that the stream has deferred.
const WITH_CLOSE: &str = "with close";

pub(super) fn run(engines: &mut Engines, run: &Run<'_>, options: &Options, outcome: &mut Outcome) {
    for round in 1..=options.rounds {
        println!("upsert: stream, round {round} of {}", options.rounds);
        let (mut before, mut after) = (Vec::new(), Vec::new());
        for engine in engines.in_turn(round) {
            let told = run.stream(engine, outcome);
            match outcome.keep(&format!("{} upsert stream", engine.name), told) {
                Some([first, last]) => {
                    before.push((engine.name, first));
                    after.push((engine.name, last));
                }
                None => engine.set_broken(),
            }
        }
        compare("the scan before the upserts", true, &before, outcome);
        compare("the scan after the upserts", true, &after, outcome);
    }
}

impl Run<'_> {
    /// Prepares the batches in memory, and warms the engine up with a few such commits.
    pub(super) fn prepare(&self, engine: &Engine, process: &mut Process) -> Result<Reply> {
        let (source, tables) = (self.sources.batches.clone(), vec![WARM_UP_TABLE.to_owned()]);
        let rows_per_commit = self.sizes.accounts.rows_per_batch;
        let prepared = process.ask(&Request::Prepare { source, rows_per_commit, tables, key: engine.key_of(KEY) })?;
        process.ask(&upsert(WARM_UP_TABLE, 0, self.sizes.warm_up))?;
        Ok(prepared)
    }

    /// Returns the answers of both scans.
    fn stream(&self, engine: &Engine, outcome: &mut Outcome) -> Result<[Answer; 2]> {
        engine.restore()?;
        let (mut process, _) = engine.open()?;
        let place = |subject| Place { section: STREAM, subject, engine: engine.name };
        let prepared = self.prepare(engine, &mut process)?;
        load::record_peak(place(BEFORE), &prepared, outcome);
        let scan = |subject| Scan { place: Place { section: SCAN, subject, engine: engine.name }, sql: SCAN_SQL };
        let before = scan(BEFORE).measure(&mut process, outcome)?;
        outcome.record_bytes(place(BEFORE), Metric::DiskBytes, folders::size_bytes(&engine.dir)?);
        let streamed = process.ask(&upsert(TABLE, 0, self.sizes.accounts.batches))?;
        load::record_peak(place(ALL), &streamed, outcome);
        let after = scan(AFTER).measure(&mut process, outcome)?;
        self.check_rows(&after)?;
        outcome.record_bytes(place(ALL), Metric::DiskBytes, folders::size_bytes(&engine.dir)?);
        if engine.name == CAYENNE {
            self.record_key_index(&mut process, outcome)?;
        }
        let closed = process.close()?;
        outcome.record_bytes(place(WITH_CLOSE), Metric::DiskBytes, folders::size_bytes(&engine.dir)?);
        self.record(&streamed, &closed, engine.name, outcome)?;
        Ok([before, after])
    }

    /// Fails unless every new key has added one row, and no other key has.
    pub(super) fn check_rows(&self, scanned: &Answer) -> Result<()> {
        let sizes = self.sizes.accounts;
        let expected = Cell::Whole(i64::try_from(sizes.base + sizes.batches * sizes.new_per_batch())?);
        let found = scanned.rows.first().and_then(|row| row.first());
        if found == Some(&expected) {
            return Ok(());
        }
        Err(format!("there are {found:?} rows after the upserts instead of {expected:?}").into())
    }

    fn record(&self, streamed: &Reply, closed: &Reply, engine: &str, outcome: &mut Outcome) -> Result<()> {
        let place = |subject| Place { section: STREAM, subject, engine };
        let sizes = self.sizes.accounts;
        if streamed.lap_ms.len() != sizes.batches {
            return Err(format!("{} batches of {} were timed", streamed.lap_ms.len(), sizes.batches).into());
        }
        let batches = f64::from(u32::try_from(sizes.batches)?);
        let rows = batches * f64::from(u32::try_from(sizes.rows_per_batch)?);
        outcome.record(place(ALL), Metric::RowsPerS, rows / streamed.wall_ms * 1e3);
        outcome.record(place(ALL), Metric::CpuMs, streamed.cpu_ms / batches);
        outcome.record(place(WITH_CLOSE), Metric::CpuMs, (streamed.cpu_ms + closed.cpu_ms) / batches);
        for (subject, percent) in [(P50, 50), (P99, 99), (LARGEST, 100)] {
            outcome.record(place(subject), Metric::WallMs, percentile(&streamed.lap_ms, percent));
        }
        Ok(())
    }

    /// Records the bytes of the key index for each indexed row, including the rows of the warm-up table.
    fn record_key_index(&self, process: &mut Process, outcome: &mut Outcome) -> Result<()> {
        let Some(bytes) = process.ask(&Request::KeyIndex)?.key_index_bytes else { return Ok(()) };
        let (sizes, warm_up) = (self.sizes.accounts, self.sizes.warm_up);
        let rows = sizes.base + sizes.batches * sizes.new_per_batch() + warm_up * sizes.rows_per_batch;
        let per_row = f64::from(u32::try_from(bytes / 1024)?) * 1024.0 / f64::from(u32::try_from(rows)?);
        outcome.record(Place { section: KEY_INDEX, subject: ALL, engine: CAYENNE }, Metric::BytesPerRow, per_row);
        Ok(())
    }
}

pub(super) fn upsert(table: &str, skip: usize, commits: usize) -> Request {
    Request::Upsert { table: table.to_owned(), key: KEY.to_owned(), skip, commits }
}

pub(super) fn sections(results: Results<'_>) -> Vec<Section> {
    let row = |label: &str, section, metric, subject| Row::of_subject(label, results, series(section, metric), subject);
    let stream = vec![
        row("rows", STREAM, Metric::RowsPerS, ALL),
        row("one batch: median", STREAM, Metric::WallMs, P50),
        row("one batch: 99th percentile", STREAM, Metric::WallMs, P99),
        row("one batch: slowest", STREAM, Metric::WallMs, LARGEST),
        row("CPU per batch", STREAM, Metric::CpuMs, ALL),
        row("CPU per batch, with closing", STREAM, Metric::CpuMs, WITH_CLOSE),
        row("peak memory", STREAM, Metric::PeakRssBytes, ALL),
        row("memory before the stream", STREAM, Metric::PeakRssBytes, BEFORE),
        row("key index, for one row", KEY_INDEX, Metric::BytesPerRow, ALL),
        row("bytes on disk before", STREAM, Metric::DiskBytes, BEFORE),
        row("bytes on disk, straight after", STREAM, Metric::DiskBytes, ALL),
        row("bytes on disk, closed", STREAM, Metric::DiskBytes, WITH_CLOSE),
    ];
    let scans = vec![
        row("before", SCAN, Metric::WallMs, BEFORE),
        row("straight after", SCAN, Metric::WallMs, AFTER),
        row("CPU before", SCAN, Metric::CpuMs, BEFORE),
        row("CPU straight after", SCAN, Metric::CpuMs, AFTER),
    ];
    vec![
        Section::of_rows("Upsert stream", Unit::PerRow, stream).in_text(),
        Section::of_rows("Sums of two columns", Unit::Shared, scans).in_text(),
    ]
}

pub(super) fn goals(results: Results<'_>) -> Vec<Goal> {
    let ours = |section, metric, subject| results.median(series(section, metric), subject, CAYENNE);
    let most_rows = results.largest(series(STREAM, Metric::RowsPerS), &[ALL], &DUCKDB_FORMS);
    let least_p99 = results.smallest(series(STREAM, Metric::WallMs), &[P99], &DUCKDB_FORMS);
    let scan = |subject| ours(SCAN, Metric::WallMs, subject);
    vec![
        Goal::ratio_at_least(
            "upsert rows/s vs best duckdb (aim 5)",
            ours(STREAM, Metric::RowsPerS, ALL),
            most_rows,
            2.0,
        ),
        Goal::ratio_of("upsert p99 vs best duckdb", ours(STREAM, Metric::WallMs, P99), least_p99, 0.5),
        Goal::ms("upsert CPU per batch (aim 3)", ours(STREAM, Metric::CpuMs, ALL), 10.0),
        Goal::ratio_of("scan after upserts vs before (aim 1.2)", scan(AFTER), scan(BEFORE), 1.3),
        Goal::count("bytes of key index per row", ours(KEY_INDEX, Metric::BytesPerRow, ALL), 24.0),
    ]
}
