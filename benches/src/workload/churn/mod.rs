//! Churn: tables that change constantly under background compaction, and the cost of that.

mod fairness;
mod rewrite;
mod stream;
mod upserts;

use crate::Result;
use crate::engines::{CAYENNE, Engine, Engines};
use crate::measure::{Metric, Outcome, Place, Results, Series};
use crate::report::goal::Goal;
use crate::report::table::Table;
use crate::workload::{Options, Workload};

const NAME: &str = "churn";
const TABLE: &str = "events";
const WARM_UP_TABLE: &str = "warm_up";

/// The kinds of work by which the engine counts the bytes of data files that it writes.
const WRITTEN: [&str; 3] = ["write", "flush", "compact"];

/// The workload; see the module.
pub(super) struct Churn;

impl Workload for Churn {
    fn name(&self) -> &'static str {
        NAME
    }

    fn describe(&self) -> &'static str {
        "Of Cayenne alone, with its defaults. 10,000 appends of 100 rows and 22 columns, each durable, with and without \
         compaction beside them, and a scan of all rows once the table rests, against the same rows from one load. \
         2,000,000 rows in 40 data files, compacted on demand, against loading them. \
         A table of 4 GB, compacted on demand with 256 MiB for it. \
         20 tables, one with a pass of 2 GB. \
         100,000 upserts of 10 rows into 2,000,000."
    }

    fn engines(&self) -> &'static [&'static str] {
        &[CAYENNE]
    }

    fn run(&self, engines: &mut Engines, options: &Options) -> Result<Outcome> {
        let mut outcome = Outcome::default();
        let sizes = options.sized(Sizes::FULL, Sizes::QUICK, Sizes::SMOKE);
        let Some(cayenne) = engines.usable().next() else { return Ok(outcome) };
        stream::run(cayenne, &sizes, options, &mut outcome)?;
        rewrite::run(cayenne, &sizes, options, &mut outcome);
        let done = fairness::run(cayenne, &sizes, options, &mut outcome);
        outcome.keep("passes of many tables", done);
        let done = upserts::run(cayenne, &sizes, options, &mut outcome);
        outcome.keep("small upserts", done);
        outcome.keep("clean-up", cayenne.reset());
        Ok(outcome)
    }

    fn table(&self, results: Results<'_>) -> Table {
        let parts = [
            stream::sections(results),
            rewrite::sections(results),
            fairness::sections(results),
            upserts::sections(results),
        ];
        Table { sections: parts.into_iter().flatten().collect() }
    }

    fn goals(&self, results: Results<'_>) -> Vec<Goal> {
        let parts =
            [stream::goals(results), rewrite::goals(results), fairness::goals(results), upserts::goals(results)];
        parts.into_iter().flatten().collect()
    }
}

/// The sizes of all parts.
#[derive(Clone, Copy)]
struct Sizes {
    commits: usize,
    rows_per_commit: usize,
    warm_up: usize,
    /// The number of data files to compact, and the rows of each.
    files: (usize, usize),
    /// How often `lineitem` is loaded into one table: first for the memory of a pass, second for a long pass.
    loads: (usize, usize),
    tables: usize,
    /// The rows of the table to upsert into, the number of upserts, and the rows of each.
    base: usize,
    upserts: usize,
    rows_per_upsert: usize,
}

impl Sizes {
    const FULL: Self = Self {
        commits: 10_000,
        rows_per_commit: 100,
        warm_up: 50,
        files: (40, 50_000),
        loads: (24, 13),
        tables: 19,
        base: 2_000_000,
        upserts: 100_000,
        rows_per_upsert: 10,
    };

    const QUICK: Self = Self {
        commits: 1_000,
        rows_per_commit: 100,
        warm_up: 50,
        files: (16, 20_000),
        loads: (3, 3),
        tables: 19,
        base: 200_000,
        upserts: 10_000,
        rows_per_upsert: 10,
    };

    const SMOKE: Self = Self {
        commits: 60,
        rows_per_commit: 10,
        warm_up: 2,
        files: (4, 2_000),
        loads: (2, 9),
        tables: 3,
        base: 2_000,
        upserts: 40,
        rows_per_upsert: 10,
    };
}

fn series(section: &'static str, metric: Metric) -> Series<'static> {
    Series { workload: NAME, section, metric }
}

fn place<'a>(section: &'a str, subject: &'a str) -> Place<'a> {
    Place { section, subject, engine: CAYENNE }
}

/// Opens a fresh database.
fn fresh(cayenne: &Engine) -> Result<crate::process::Process> {
    cayenne.reset()?;
    Ok(cayenne.open()?.0)
}
