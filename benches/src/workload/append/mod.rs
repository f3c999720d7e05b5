//! Append: many small durable commits, concurrent writers, and the cost of opening a database with many files.

mod flushes;
mod group;
mod many_files;
mod stream;

use crate::Result;
use crate::engines::{CAYENNE, Engine, Engines};
use crate::measure::{Metric, Outcome, Results, Series};
use crate::report::goal::Goal;
use crate::report::table::Table;
use crate::workload::{Options, Workload};

const NAME: &str = "append";

/// The workload; see the module.
pub(super) struct Append;

impl Workload for Append {
    fn name(&self) -> &'static str {
        NAME
    }

    fn describe(&self) -> &'static str {
        "Appends 500 commits of 1,000 rows and 22 columns, each durable before the next begins, and scans the table \
         straight after; a table of the same rows from one load is the measure of that scan. \
         Flushes are counted in a run of its own, which no clock watches. \
         Of Cayenne alone: 32 writers on 32 tables against one, with commits of ten rows, and opening databases whose \
         metastore names many data files."
    }

    fn engines(&self) -> &'static [&'static str] {
        &[CAYENNE, "duckdb", "sqlite"]
    }

    fn run(&self, engines: &mut Engines, options: &Options) -> Result<Outcome> {
        let mut outcome = Outcome::default();
        let sizes = Sizes::of(options);
        stream::run(engines, &sizes, options, &mut outcome)?;
        flushes::run(engines, &sizes, options, &mut outcome)?;
        if let Some(cayenne) = only_cayenne(engines) {
            group::run(cayenne, &sizes, options, &mut outcome)?;
            many_files::run(cayenne, &sizes, options, &mut outcome);
        }
        Ok(outcome)
    }

    fn table(&self, results: Results<'_>) -> Table {
        let parts = [
            stream::sections(results),
            flushes::sections(results),
            group::sections(results),
            many_files::sections(results),
        ];
        Table { sections: parts.into_iter().flatten().collect() }
    }

    fn goals(&self, results: Results<'_>) -> Vec<Goal> {
        let parts =
            [stream::goals(results), flushes::goals(results), group::goals(results), many_files::goals(results)];
        parts.into_iter().flatten().collect()
    }
}

/// The sizes of all parts.
struct Sizes {
    commits: usize,
    rows_per_commit: usize,
    /// Commits to another table before the measured ones.
    warm_up: usize,
    /// Commits whose flushes are counted.
    traced: usize,
    group: group::Sizes,
    /// Tables and files of each: in a database with many tables, and in one with a single large table.
    many_tables: (usize, usize),
    large_table: usize,
}

impl Sizes {
    const FULL: Self = Self {
        commits: 500,
        rows_per_commit: 1_000,
        warm_up: 20,
        traced: 100,
        group: group::Sizes { writers: 32, commits_alone: 400, commits_each: 50 },
        many_tables: (100, 100),
        large_table: 100_000,
    };

    const SMOKE: Self = Self {
        commits: 6,
        rows_per_commit: 100,
        warm_up: 2,
        traced: 3,
        group: group::Sizes { writers: 4, commits_alone: 4, commits_each: 2 },
        many_tables: (3, 5),
        large_table: 50,
    };

    fn of(options: &Options) -> Self {
        if options.smoke { Self::SMOKE } else { Self::FULL }
    }
}

fn only_cayenne(engines: &Engines) -> Option<&Engine> {
    engines.usable().find(|engine| engine.name == CAYENNE)
}

fn series(section: &'static str, metric: Metric) -> Series<'static> {
    Series { workload: NAME, section, metric }
}
