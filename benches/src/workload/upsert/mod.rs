//! Upsert: durable batches of upserted rows, and a scan before and after.

mod small_index;
mod stream;
mod traced;

use std::path::Path;

use crate::Result;
use crate::accounts::{self, KEY, Sources};
use crate::engines::Engines;
use crate::measure::{Metric, Outcome, Results, Series};
use crate::report::goal::Goal;
use crate::report::table::Table;
use crate::workload::base::{self, BaseTable, KEYED_ENGINES};
use crate::workload::{Options, Workload};

const NAME: &str = "upsert";

/// The table to upsert into, and the one for the warm-up.
pub(super) const TABLE: &str = "accounts";
pub(super) const WARM_UP_TABLE: &str = "warm_up";

/// Reads two columns of all rows.
pub(super) const SCAN_SQL: &str =
    "SELECT count(*) AS lines, sum(visits) AS visits, sum(balance) AS balance FROM accounts";

/// The workload; see the module.
pub(super) struct Upsert;

impl Workload for Upsert {
    fn name(&self) -> &'static str {
        NAME
    }

    fn describe(&self) -> &'static str {
        "Puts 200 batches of 1,000 rows into a table of 2,000,000 rows and 8 columns, loaded in the order of its key: \
         800 rows take the place of rows anywhere in the table, 200 are new. Each batch is one durable commit. \
         DuckDB deletes and inserts in one transaction, which is its fastest form, without and with a primary key. \
         The scan adds up two columns before and straight after. Flushes are counted in a run of its own. \
         Of Cayenne alone: the same with 16 MB for the index of the key."
    }

    fn engines(&self) -> &'static [&'static str] {
        KEYED_ENGINES
    }

    fn run(&self, engines: &mut Engines, options: &Options) -> Result<Outcome> {
        let mut outcome = Outcome::default();
        let sizes = Sizes::of(options);
        let sources = sizes.accounts.prepare(&options.data)?;
        load_accounts(engines, &sources.base, &mut outcome);
        let run = Run { sizes: &sizes, sources: &sources };
        stream::run(engines, &run, options, &mut outcome);
        traced::run(engines, &run, &mut outcome);
        small_index::run(engines, &run, &mut outcome);
        base::forget(engines, &mut outcome);
        Ok(outcome)
    }

    fn table(&self, results: Results<'_>) -> Table {
        let parts = [stream::sections(results), traced::sections(results), small_index::sections(results)];
        let base = std::iter::once(base::section(results, NAME));
        Table { sections: parts.into_iter().flatten().chain(base).collect() }
    }

    fn goals(&self, results: Results<'_>) -> Vec<Goal> {
        [stream::goals(results), traced::goals(results)].into_iter().flatten().collect()
    }
}

/// Loads only the accounts, with their key.
pub(super) fn load_accounts(engines: &mut Engines, source: &Path, outcome: &mut Outcome) {
    base::load(engines, &[BaseTable { name: TABLE, source, key: Some(KEY) }], outcome);
}

/// The input of every part.
struct Run<'a> {
    sizes: &'a Sizes,
    sources: &'a Sources,
}

/// The sizes of all parts.
struct Sizes {
    accounts: accounts::Sizes,
    /// Batches into another table before the measured ones.
    warm_up: usize,
    /// Batches whose flushes are counted.
    traced: usize,
}

impl Sizes {
    const FULL: Self = Self {
        accounts: accounts::Sizes { base: 2_000_000, batches: 200, rows_per_batch: 1_000 },
        warm_up: 20,
        traced: 100,
    };

    const QUICK: Self = Self {
        accounts: accounts::Sizes { base: 200_000, batches: 40, rows_per_batch: 1_000 },
        warm_up: 10,
        traced: 20,
    };

    const SMOKE: Self =
        Self { accounts: accounts::Sizes { base: 2_000, batches: 6, rows_per_batch: 100 }, warm_up: 2, traced: 3 };

    fn of(options: &Options) -> Self {
        options.sized(Self::FULL, Self::QUICK, Self::SMOKE)
    }
}

fn series(section: &'static str, metric: Metric) -> Series<'static> {
    Series { workload: NAME, section, metric }
}
