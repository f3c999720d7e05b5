//! The stream: one writer makes one commit after the other, and a scan of the result follows.

use std::path::Path;

use super::{Sizes, series};
use crate::answer::Answer;
use crate::engines::{CAYENNE, Engine, Engines};
use crate::measure::{Metric, Outcome, Place, Results, percentile};
use crate::protocol::{Reply, Request};
use crate::report::goal::Goal;
use crate::report::table::{Row, Section, Unit};
use crate::workload::Options;
use crate::workload::compare::compare;
use crate::workload::load::{self, ALL, BEFORE};
use crate::workload::scan::Scan;
use crate::{Result, events, folders};

const STREAM: &str = "stream";
const BULK: &str = "bulk";
const SCAN: &str = "scan";

/// Subjects of the stream. Each repetition gives one latency: the median, the 99th percentile, or the largest.
const P50: &str = "p50";
const P99: &str = "p99";
const LARGEST: &str = "max";
/// Includes closing the database, which may do work that the stream has deferred.
const WITH_CLOSE: &str = "with close";

const TABLE: &str = "events";
const WARM_UP_TABLE: &str = "warm_up";

/// Reads three columns of all rows.
const SCAN_SQL: &str = "SELECT country, count(*) AS visits, sum(bytes_out) AS bytes, avg(duration_ms) AS duration \
                        FROM events GROUP BY country ORDER BY country";

pub(super) fn run(engines: &mut Engines, sizes: &Sizes, options: &Options, outcome: &mut Outcome) -> Result<()> {
    let source = events::prepare(&options.data, sizes.commits * sizes.rows_per_commit)?;
    for round in 1..=options.rounds {
        println!("append: stream, round {round} of {}", options.rounds);
        let mut answers = Vec::new();
        for engine in engines.in_turn(round) {
            let run = Run { source: &source, sizes };
            let told = run.of_engine(engine, outcome);
            match outcome.keep(&format!("{} append stream", engine.name), told) {
                Some(told) => answers.extend(told),
                None => engine.set_broken(),
            }
        }
        compare("the scan after the stream", true, &answers, outcome);
    }
    Ok(())
}

/// One repetition on one engine.
struct Run<'a> {
    source: &'a Path,
    sizes: &'a Sizes,
}

impl Run<'_> {
    /// Returns the answers of the scans after the stream and after the load.
    fn of_engine(&self, engine: &mut Engine, outcome: &mut Outcome) -> Result<[(String, Answer); 2]> {
        let (name, streamed, loaded) = (engine.name, self.stream(engine, outcome)?, self.bulk(engine, outcome)?);
        Ok([(format!("{name} {STREAM}"), streamed), (format!("{name} {BULK}"), loaded)])
    }

    fn stream(&self, engine: &mut Engine, outcome: &mut Outcome) -> Result<Answer> {
        let Sizes { commits, rows_per_commit, warm_up, .. } = *self.sizes;
        engine.reset()?;
        let (mut process, opened) = engine.open()?;
        let place = |subject| Place { section: STREAM, subject, engine: engine.name };
        let tables = [WARM_UP_TABLE, TABLE].map(str::to_owned).to_vec();
        let source = self.source.to_owned();
        let prepared = process.ask(&Request::Prepare { source, rows_per_commit, tables, key: None })?;
        load::record_peak(place(BEFORE), &prepared, outcome);
        process.ask(&Request::Append { table: WARM_UP_TABLE.to_owned(), commits: warm_up })?;
        let streamed = process.ask(&Request::Append { table: TABLE.to_owned(), commits })?;
        load::record_peak(place(ALL), &streamed, outcome);
        outcome.record_bytes(place(ALL), Metric::DiskBytes, folders::size_bytes(&engine.dir)?);
        let answer = scan(STREAM, engine.name).measure(&mut process, outcome)?;
        let closed = process.close()?;
        outcome.record_bytes(place(WITH_CLOSE), Metric::DiskBytes, folders::size_bytes(&engine.dir)?);
        self.record(&streamed, &closed, engine.name, outcome)?;
        engine.set_version(opened.version);
        Ok(answer)
    }

    fn record(&self, streamed: &Reply, closed: &Reply, engine: &str, outcome: &mut Outcome) -> Result<()> {
        let place = |subject| Place { section: STREAM, subject, engine };
        if streamed.lap_ms.len() != self.sizes.commits {
            return Err(format!("{} commits of {} were timed", streamed.lap_ms.len(), self.sizes.commits).into());
        }
        let commits = f64::from(u32::try_from(self.sizes.commits)?);
        let rows = commits * f64::from(u32::try_from(self.sizes.rows_per_commit)?);
        let wall_s = streamed.wall_ms / 1e3;
        outcome.record(place(ALL), Metric::RowsPerS, rows / wall_s);
        outcome.record(place(ALL), Metric::CommitsPerS, commits / wall_s);
        outcome.record(place(ALL), Metric::CpuMs, streamed.cpu_ms / commits);
        outcome.record(place(WITH_CLOSE), Metric::CpuMs, (streamed.cpu_ms + closed.cpu_ms) / commits);
        for (subject, percent) in [(P50, 50), (P99, 99), (LARGEST, 100)] {
            outcome.record(place(subject), Metric::WallMs, percentile(&streamed.lap_ms, percent));
        }
        Ok(())
    }

    /// Loads the same rows into a fresh database and scans them.
    fn bulk(&self, engine: &Engine, outcome: &mut Outcome) -> Result<Answer> {
        engine.reset()?;
        let (mut process, _) = engine.open()?;
        let loaded =
            process.ask(&Request::Load { table: TABLE.to_owned(), source: self.source.to_owned(), key: None })?;
        let place = Place { section: BULK, subject: ALL, engine: engine.name };
        outcome.record(place, Metric::WallMs, loaded.wall_ms);
        let answer = scan(BULK, engine.name).measure(&mut process, outcome)?;
        process.close()?;
        outcome.record_bytes(place, Metric::DiskBytes, folders::size_bytes(&engine.dir)?);
        Ok(answer)
    }
}

fn scan<'a>(subject: &'a str, engine: &'a str) -> Scan<'a> {
    Scan { place: Place { section: SCAN, subject, engine }, sql: SCAN_SQL }
}

pub(super) fn sections(results: Results<'_>) -> Vec<Section> {
    let row = |label: &str, section, metric, subject| Row::of_subject(label, results, series(section, metric), subject);
    let stream = vec![
        row("rows", STREAM, Metric::RowsPerS, ALL),
        row("commits", STREAM, Metric::CommitsPerS, ALL),
        row("one commit: median", STREAM, Metric::WallMs, P50),
        row("one commit: 99th percentile", STREAM, Metric::WallMs, P99),
        row("one commit: slowest", STREAM, Metric::WallMs, LARGEST),
        row("CPU per commit", STREAM, Metric::CpuMs, ALL),
        row("CPU per commit, with closing", STREAM, Metric::CpuMs, WITH_CLOSE),
        row("peak memory", STREAM, Metric::PeakRssBytes, ALL),
        row("memory before the stream", STREAM, Metric::PeakRssBytes, BEFORE),
        row("bytes on disk, straight after", STREAM, Metric::DiskBytes, ALL),
        row("bytes on disk, closed", STREAM, Metric::DiskBytes, WITH_CLOSE),
        row("bytes on disk of one load", BULK, Metric::DiskBytes, ALL),
    ];
    let scans = vec![
        row("after the stream", SCAN, Metric::WallMs, STREAM),
        row("after one load", SCAN, Metric::WallMs, BULK),
        row("CPU after the stream", SCAN, Metric::CpuMs, STREAM),
        row("CPU after one load", SCAN, Metric::CpuMs, BULK),
    ];
    vec![
        Section::of_rows("Append stream", Unit::PerRow, stream).in_text(),
        Section::of_rows("Scan of three columns", Unit::Shared, scans).in_text(),
    ]
}

pub(super) fn goals(results: Results<'_>) -> Vec<Goal> {
    let of = |section, metric, subject| move |engine: &str| results.median(series(section, metric), subject, engine);
    let scan = |metric, subject| of(SCAN, metric, subject)(CAYENNE);
    let rows = of(STREAM, Metric::RowsPerS, ALL);
    vec![
        Goal::ratio_at_least("append rows/s vs duckdb (aim 3)", rows(CAYENNE), rows("duckdb"), 2.0),
        Goal::ratio("append p99 vs duckdb", of(STREAM, Metric::WallMs, P99), "duckdb", 0.2),
        Goal::ms("append CPU per commit (aim 1.5)", of(STREAM, Metric::CpuMs, ALL)(CAYENNE), 3.0),
        Goal::ratio_of("scan after appends vs bulk", scan(Metric::WallMs, STREAM), scan(Metric::WallMs, BULK), 1.3),
        Goal::ratio_of("scan CPU after appends vs bulk", scan(Metric::CpuMs, STREAM), scan(Metric::CpuMs, BULK), 1.3),
    ]
}
