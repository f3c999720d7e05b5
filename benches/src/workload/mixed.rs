//! Mixed: one writer that upserts as fast as it can, concurrently with two readers, for some seconds.

use crate::accounts::{self, KEY, Sources};
use crate::answer::Cell;
use crate::engines::{CAYENNE, DUCKDB_FORMS, Engine, Engines};
use crate::measure::{Metric, Outcome, Place, Results, Series, percentile};
use crate::process::Process;
use crate::protocol::{Reply, Request};
use crate::report::goal::Goal;
use crate::report::table::{Row, Section, Table, Unit};
use crate::workload::base::{self, BaseTable, CONCURRENT_ENGINES};
use crate::workload::load::{self, ALL};
use crate::workload::scan::Scan;
use crate::workload::upsert::{SCAN_SQL, TABLE, WARM_UP_TABLE};
use crate::workload::{Options, Workload};
use crate::{Result, folders};

const NAME: &str = "mixed";
const WRITER: &str = "writer";
const READERS: &str = "readers";
const ALONE: &str = "alone";
const P50: &str = "p50";
const P99: &str = "p99";

const READER_COUNT: usize = 2;

/// The workload; see the module.
pub(super) struct Mixed;

impl Workload for Mixed {
    fn name(&self) -> &'static str {
        NAME
    }

    fn describe(&self) -> &'static str {
        "Upserts batches of 1,000 rows into a table of 2,000,000 rows and 8 columns, as the upsert workload does and as fast \
         as one writer can, while two readers add up two columns of all rows, for 20 seconds in one process. \
         DuckDB has a connection and a thread for each. \
         There are 1,000 batches; a writer that has made them all begins again, and then replaces rows alone."
    }

    fn engines(&self) -> &'static [&'static str] {
        CONCURRENT_ENGINES
    }

    fn run(&self, engines: &mut Engines, options: &Options) -> Result<Outcome> {
        let mut outcome = Outcome::default();
        let sizes = options.sized(Sizes::FULL, Sizes::QUICK, Sizes::SMOKE);
        let sources = sizes.accounts.prepare(&options.data)?;
        base::load(engines, &[BaseTable { name: TABLE, source: &sources.base, key: Some(KEY) }], &mut outcome);
        for round in 1..=options.rounds {
            println!("{NAME}: round {round} of {}", options.rounds);
            for engine in engines.in_turn(round) {
                let measured = Run { sizes, sources: &sources, engine }.measure(&mut outcome);
                if outcome.keep(&format!("{} writer and readers", engine.name), measured).is_none() {
                    engine.set_broken();
                }
            }
        }
        base::forget(engines, &mut outcome);
        Ok(outcome)
    }

    fn table(&self, results: Results<'_>) -> Table {
        let row =
            |label: &str, section, metric, subject| Row::of_subject(label, results, series(section, metric), subject);
        let rows = vec![
            row("rows written", WRITER, Metric::RowsPerS, ALL),
            row("one batch: median", WRITER, Metric::WallMs, P50),
            row("one batch: 99th percentile", WRITER, Metric::WallMs, P99),
            row("queries of both readers", READERS, Metric::QueriesPerS, ALL),
            row("one query: median", READERS, Metric::WallMs, P50),
            row("one query: 99th percentile", READERS, Metric::WallMs, P99),
            row("the query before, alone", ALONE, Metric::WallMs, ALL),
            row("failures", ALL, Metric::Failures, ALL),
            row("peak memory", ALL, Metric::PeakRssBytes, ALL),
            row("bytes on disk, closed", ALL, Metric::DiskBytes, ALL),
        ];
        let section = Section::of_rows("One writer and two readers", Unit::PerRow, rows).in_text();
        Table { sections: vec![section, base::section(results, NAME)] }
    }

    fn goals(&self, results: Results<'_>) -> Vec<Goal> {
        let rate = |section, metric| {
            let ours = results.median(series(section, metric), ALL, CAYENNE);
            (ours, results.largest(series(section, metric), &[ALL], &DUCKDB_FORMS))
        };
        let (written, best_written) = rate(WRITER, Metric::RowsPerS);
        let (read, best_read) = rate(READERS, Metric::QueriesPerS);
        let failures = results.median(series(ALL, Metric::Failures), ALL, CAYENNE);
        vec![
            Goal::ratio_at_least("rows/s beside readers vs best duckdb (aim 5)", written, best_written, 1.5),
            Goal::ratio_at_least("queries/s beside a writer vs best duckdb (aim 1.5)", read, best_read, 1.0),
            Goal::count("failures beside each other", failures, 0.0),
        ]
    }
}

fn series(section: &'static str, metric: Metric) -> Series<'static> {
    Series { workload: NAME, section, metric }
}

#[derive(Clone, Copy)]
struct Sizes {
    accounts: accounts::Sizes,
    warm_up: usize,
    seconds: f64,
}

impl Sizes {
    const FULL: Self = Self {
        accounts: accounts::Sizes { base: 2_000_000, batches: 1_000, rows_per_batch: 1_000 },
        warm_up: 20,
        seconds: 20.0,
    };

    const QUICK: Self = Self {
        accounts: accounts::Sizes { base: 200_000, batches: 200, rows_per_batch: 1_000 },
        warm_up: 10,
        seconds: 3.0,
    };

    const SMOKE: Self =
        Self { accounts: accounts::Sizes { base: 2_000, batches: 6, rows_per_batch: 100 }, warm_up: 2, seconds: 0.2 };
}

/// One repetition on one engine.
struct Run<'a> {
    sizes: Sizes,
    sources: &'a Sources,
    engine: &'a Engine,
}

impl Run<'_> {
    fn measure(&self, outcome: &mut Outcome) -> Result<()> {
        self.engine.restore()?;
        let (mut process, _) = self.engine.open()?;
        self.warm_up(&mut process)?;
        let place = |section| Place { section, subject: ALL, engine: self.engine.name };
        Scan { place: place(ALONE), sql: SCAN_SQL }.measure(&mut process, outcome)?;
        let mixed = process.ask(&Request::Mixed {
            table: TABLE.to_owned(),
            key: KEY.to_owned(),
            seconds: self.sizes.seconds,
            readers: READER_COUNT,
            sql: SCAN_SQL.to_owned(),
        })?;
        load::record_peak(place(ALL), &mixed, outcome);
        self.record(&mixed, outcome)?;
        check_keys(&mut process)?;
        process.close()?;
        outcome.record_bytes(place(ALL), Metric::DiskBytes, folders::size_bytes(&self.engine.dir)?);
        Ok(())
    }

    fn warm_up(&self, process: &mut Process) -> Result<()> {
        let (source, tables) = (self.sources.batches.clone(), vec![WARM_UP_TABLE.to_owned()]);
        let (key, rows_per_commit) = (self.engine.key_of(KEY), self.sizes.accounts.rows_per_batch);
        process.ask(&Request::Prepare { source, rows_per_commit, tables, key })?;
        let (table, key) = (WARM_UP_TABLE.to_owned(), KEY.to_owned());
        process.ask(&Request::Upsert { table, key, skip: 0, commits: self.sizes.warm_up })?;
        Ok(())
    }

    fn record(&self, mixed: &Reply, outcome: &mut Outcome) -> Result<()> {
        let place = |section, subject| Place { section, subject, engine: self.engine.name };
        let count = |laps: &[f64]| u32::try_from(laps.len()).map(f64::from);
        let rows_per_batch = f64::from(u32::try_from(self.sizes.accounts.rows_per_batch)?);
        let rows = count(&mixed.lap_ms)? * rows_per_batch;
        outcome.record(place(WRITER, ALL), Metric::RowsPerS, rows / mixed.wall_ms * 1e3);
        outcome.record(place(READERS, ALL), Metric::QueriesPerS, count(&mixed.read_ms)? / mixed.wall_ms * 1e3);
        for (section, laps) in [(WRITER, &mixed.lap_ms), (READERS, &mixed.read_ms)] {
            outcome.record(place(section, P50), Metric::WallMs, percentile(laps, 50));
            outcome.record(place(section, P99), Metric::WallMs, percentile(laps, 99));
        }
        let failures = f64::from(u32::try_from(mixed.failures.len())?);
        outcome.record(place(ALL, ALL), Metric::Failures, failures);
        match mixed.failures.first() {
            Some(first) => Err(format!("{failures} failures, the first: {first}").into()),
            None => Ok(()),
        }
    }
}

/// Fails if upserts have left two rows with one key.
fn check_keys(process: &mut Process) -> Result<()> {
    let sql = format!("SELECT count(*) - count(DISTINCT {KEY}) AS doubled FROM {TABLE}");
    let answer = process.ask(&Request::Query { id: ALL.to_owned(), sql, answer: true })?.answer;
    let rows = answer.ok_or("no rows in the reply")?.rows;
    if rows == [[Cell::Whole(0)]] {
        return Ok(());
    }
    Err(format!("rows of one key are there more than once: {rows:?}").into())
}
