//! Delete: one row in a hundred at random from a table, then a tenth of it in one range, with scans before and after;
//! and long lists of keys.

mod list;
mod rows;

use std::path::PathBuf;

use crate::engines::Engines;
use crate::keyed::{KEY, Lineitem, Order, random_keys};
use crate::measure::{Metric, Outcome, Results, Series};
use crate::report::goal::Goal;
use crate::report::table::Table;
use crate::workload::base::{self, BaseTable, KEYED_ENGINES};
use crate::workload::{Options, Workload};
use crate::{Result, accounts};

const NAME: &str = "delete";

const TABLE: &str = "lineitem";
/// A small table with the same columns. Its rows are deleted first, as a warm-up.
const WARM_UP_TABLE: &str = "warm_up";
/// The keys of the rows to delete.
const DOOMED: &str = "doomed";
/// The table for long lists of keys.
const LIST_TABLE: &str = "accounts";

const WARM_UP_ROWS: usize = 10_000;
const DOOMED_SEED: u64 = 60;
const LIST_SEED: u64 = 32;

/// The workload; see the module.
pub(super) struct Delete;

impl Workload for Delete {
    fn name(&self) -> &'static str {
        NAME
    }

    fn describe(&self) -> &'static str {
        "Deletes from lineitem with a key, 17 columns in the order of the key: one row in a hundred, at random, by one \
         statement, and then a tenth of the table in one range of the key. Each is durable when it returns. \
         The random keys are given as a subquery, as a joined table and as a list; each engine is judged by its best form. \
         The scan adds up two columns before and after. \
         Then a list of 32,768 keys in a table of 1,000,000 rows and 8 columns, in a SELECT and in a DELETE."
    }

    fn engines(&self) -> &'static [&'static str] {
        KEYED_ENGINES
    }

    fn run(&self, engines: &mut Engines, options: &Options) -> Result<Outcome> {
        let mut outcome = Outcome::default();
        let data = Data::prepare(options)?;
        data.load(engines, &mut outcome);
        for round in 1..=options.rounds {
            println!("{NAME}: round {round} of {}", options.rounds);
            rows::run(engines, &data, round, &mut outcome);
            list::run(engines, &data, round, &mut outcome);
        }
        base::forget(engines, &mut outcome);
        Ok(outcome)
    }

    fn table(&self, results: Results<'_>) -> Table {
        let parts = [rows::sections(results), list::sections(results), vec![base::section(results, NAME)]];
        Table { sections: parts.into_iter().flatten().collect() }
    }

    fn goals(&self, results: Results<'_>) -> Vec<Goal> {
        [rows::goals(results), list::goals(results)].into_iter().flatten().collect()
    }
}

/// The files to load, and the keys to delete or to select.
struct Data {
    lineitem: PathBuf,
    warm_up: PathBuf,
    doomed_source: PathBuf,
    accounts: PathBuf,
    doomed: Vec<i64>,
    /// The first and the last key of the range.
    range: (i64, i64),
    list: Vec<i64>,
    /// A key of the same table that is not in the list.
    beside_list: i64,
}

impl Data {
    fn prepare(options: &Options) -> Result<Self> {
        let lineitem = Lineitem::generate(&options.keyed_data(), options.keyed_sf())?;
        let (account_rows, list_keys) = options.sized((1_000_000, 32_768), (100_000, 3_276), (2_000, 64));
        let rows = lineitem.rows;
        let doomed = rows / 100;
        let range = (rows * 45 / 100, rows * 55 / 100 - 1);
        let mut list = random_keys(account_rows, list_keys + 1, LIST_SEED);
        let beside_list = list.pop().ok_or("the list of keys is empty")?;
        Ok(Self {
            warm_up: lineitem.first(WARM_UP_ROWS)?,
            doomed_source: lineitem.some_keys(doomed, DOOMED_SEED)?,
            accounts: accounts::prepare_base(&options.data, account_rows)?,
            doomed: random_keys(rows, doomed, DOOMED_SEED),
            range: (i64::try_from(range.0)?, i64::try_from(range.1)?),
            list,
            beside_list,
            lineitem: lineitem.with_keys(Order::Sorted)?,
        })
    }

    fn load(&self, engines: &mut Engines, outcome: &mut Outcome) {
        let table = |name, source, key| BaseTable { name, source, key };
        let tables = [
            table(TABLE, &self.lineitem, Some(KEY)),
            table(WARM_UP_TABLE, &self.warm_up, Some(KEY)),
            table(DOOMED, &self.doomed_source, None),
            table(LIST_TABLE, &self.accounts, Some(accounts::KEY)),
        ];
        base::load(engines, &tables, outcome);
    }

    /// Returns how many rows of the range are left after the deletion of the random keys.
    fn left_in_range(&self) -> u64 {
        let (first, last) = self.range;
        let gone = self.doomed.iter().filter(|key| (first..=last).contains(*key)).count() as u64;
        (last - first + 1).unsigned_abs() - gone
    }
}

fn listed(keys: &[i64]) -> String {
    let keys: Vec<_> = keys.iter().map(i64::to_string).collect();
    keys.join(", ")
}

fn series(section: &'static str, metric: Metric) -> Series<'static> {
    Series { workload: NAME, section, metric }
}
