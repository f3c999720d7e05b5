//! Lookup: all columns of the rows with a few keys, one query after the other, in a table that is in key order and in
//! one that is not.

use crate::Result;
use crate::answer::Answer;
use crate::engines::{CAYENNE, DUCKDB_WITH_KEY, Engine, Engines, open_all};
use crate::keyed::{KEY, Lineitem, Order, random_keys};
use crate::measure::{Metric, Outcome, Place, Results, Series, percentile};
use crate::process::Process;
use crate::protocol::{LookupBy, Reply, Request};
use crate::report::goal::Goal;
use crate::report::table::{Row, Section, Table, Unit};
use crate::workload::base::{self, BaseTable, KEYED_ENGINES};
use crate::workload::compare::compare;
use crate::workload::load::{self, ALL};
use crate::workload::{Options, Workload};

const NAME: &str = "lookup";

/// The tables, and the sections of their numbers.
const SORTED: &str = "sorted";
const SHUFFLED: &str = "shuffled";

/// Subjects. Each repetition gives one latency.
const ONE_P50: &str = "one key p50";
const ONE_P99: &str = "one key p99";
const MANY_P50: &str = "100 keys p50";
const API_P50: &str = "api p50";
const API_P99: &str = "api p99";

const KEYS_PER_LIST: usize = 100;

/// The workload; see the module.
pub(super) struct Lookup;

impl Workload for Lookup {
    fn name(&self) -> &'static str {
        NAME
    }

    fn describe(&self) -> &'static str {
        "Reads all 17 columns of lineitem's rows with 2,000 random keys, one query after the other, and of lists of 100 keys: \
         from a table in the order of its key and from one in random order. \
         Queries of one key are prepared. Rows become Python objects within the time of DuckDB, \
         which is a tenth of it for a list and less for one row. Everything is in memory after the warm-up."
    }

    fn engines(&self) -> &'static [&'static str] {
        KEYED_ENGINES
    }

    fn run(&self, engines: &mut Engines, options: &Options) -> Result<Outcome> {
        let mut outcome = Outcome::default();
        let lineitem = Lineitem::generate(&options.keyed_data(), options.keyed_sf())?;
        let (sorted, shuffled) = (lineitem.with_keys(Order::Sorted)?, lineitem.with_keys(Order::Random)?);
        let table = |name, source| BaseTable { name, source, key: Some(KEY) };
        base::load(engines, &[table(SORTED, &sorted), table(SHUFFLED, &shuffled)], &mut outcome);
        let sizes = options.sized(Sizes::FULL, Sizes::QUICK, Sizes::SMOKE);
        measure(engines, &Draw { rows: lineitem.rows, sizes }, options, &mut outcome);
        base::forget(engines, &mut outcome);
        Ok(outcome)
    }

    fn table(&self, results: Results<'_>) -> Table {
        let of_table = |title: &str, section| {
            let row = |label: &str, metric, subject| Row::of_subject(label, results, series(section, metric), subject);
            let rows = vec![
                row("one key: median", Metric::WallMs, ONE_P50),
                row("one key: 99th percentile", Metric::WallMs, ONE_P99),
                row("one key: queries", Metric::QueriesPerS, ALL),
                row("one key: CPU", Metric::CpuMs, ALL),
                row("100 keys: median", Metric::WallMs, MANY_P50),
                row("one key, Rust API: median", Metric::WallMs, API_P50),
                row("one key, Rust API: 99th percentile", Metric::WallMs, API_P99),
            ];
            Section::of_rows(title, Unit::PerRow, rows).in_text()
        };
        let peak = Row::of_subject("peak memory", results, series(ALL, Metric::PeakRssBytes), ALL);
        Table {
            sections: vec![
                of_table("Table in the order of its key", SORTED),
                of_table("Table in random order", SHUFFLED),
                Section::of_rows("Memory", Unit::Shared, vec![peak]),
                base::section(results, NAME),
            ],
        }
    }

    fn goals(&self, results: Results<'_>) -> Vec<Goal> {
        let of_table = |section| {
            let wall = |subject, engine: &str| results.median(series(section, Metric::WallMs), subject, engine);
            let name = |what: &str| format!("{what}, {section}");
            let (ours, theirs) = (wall(ONE_P50, CAYENNE), wall(ONE_P50, DUCKDB_WITH_KEY));
            vec![
                Goal::ratio_of(&name("lookup p50 vs duckdb-key (aim 0.1)"), ours, theirs, 0.5),
                Goal::ms(&name("lookup p50 (aim 0.12)"), ours, 0.6),
                Goal::ms(&name("lookup of 100 keys (aim 1)"), wall(MANY_P50, CAYENNE), 3.0),
                Goal::ms(&name("lookup p50, Rust API"), wall(API_P50, CAYENNE), 0.1),
            ]
        };
        [of_table(SORTED), of_table(SHUFFLED)].into_iter().flatten().collect()
    }
}

fn series(section: &'static str, metric: Metric) -> Series<'static> {
    Series { workload: NAME, section, metric }
}

/// The number of queries of one repetition.
#[derive(Clone, Copy)]
struct Sizes {
    one: usize,
    lists: usize,
    /// Queries of one key before the first repetition.
    warm_up: usize,
}

impl Sizes {
    const FULL: Self = Self { one: 2_000, lists: 20, warm_up: 200 };
    const QUICK: Self = Self { one: 500, lists: 10, warm_up: 100 };
    const SMOKE: Self = Self { one: 20, lists: 2, warm_up: 5 };
}

/// Draws the keys of a repetition. They are the same for all engines, and distinct.
struct Draw {
    rows: usize,
    sizes: Sizes,
}

impl Draw {
    fn one(&self, round: usize, count: usize) -> Vec<Vec<i64>> {
        random_keys(self.rows, count, 100 + round as u64).into_iter().map(|key| vec![key]).collect()
    }

    fn lists(&self, round: usize) -> Vec<Vec<i64>> {
        let keys = random_keys(self.rows, self.sizes.lists * KEYS_PER_LIST, 200 + round as u64);
        keys.chunks(KEYS_PER_LIST).map(<[i64]>::to_vec).collect()
    }
}

fn measure(engines: &Engines, draw: &Draw, options: &Options, outcome: &mut Outcome) {
    let mut running = open_all(engines, outcome);
    warm_up(&mut running, draw, outcome);
    for round in 1..=options.rounds {
        println!("{NAME}: round {round} of {}", options.rounds);
        // The first engine of a round is the last of the next round, so that no engine always follows the same one.
        let next = usize::from(!running.is_empty());
        running.rotate_left(next);
        for table in [SORTED, SHUFFLED] {
            for (engine, process) in &mut running {
                let asked = Asked { table, engine: engine.name, process };
                let measured = asked.measure(draw, round, outcome);
                outcome.keep(&format!("{} lookups in {table}", engine.name), measured);
            }
        }
    }
    for (engine, process) in running {
        if let Some(closed) = outcome.keep(&format!("{} close", engine.name), process.close()) {
            load::record_peak(Place { section: ALL, subject: ALL, engine: engine.name }, &closed, outcome);
        }
    }
}

/// Reads every table completely, so that all engines find their files in the page cache, looks up a few keys, and
/// compares some rows between the engines.
fn warm_up(running: &mut [(&Engine, Process)], draw: &Draw, outcome: &mut Outcome) {
    for table in [SORTED, SHUFFLED] {
        let mut answers: Vec<(&str, Answer)> = Vec::new();
        for (engine, process) in running.iter_mut() {
            let asked = Asked { table, engine: engine.name, process };
            let answer = outcome.keep(&format!("{} warm-up of {table}", engine.name), asked.warm_up(draw));
            answers.extend(answer.map(|answer| (engine.name, answer)));
        }
        compare(&format!("the rows of some keys in {table}"), true, &answers, outcome);
    }
}

/// One table on one engine.
struct Asked<'a> {
    table: &'static str,
    engine: &'static str,
    process: &'a mut Process,
}

impl Asked<'_> {
    fn warm_up(self, draw: &Draw) -> Result<Answer> {
        let Self { table, process, .. } = self;
        let query = |sql| Request::Query { id: NAME.to_owned(), sql, answer: true };
        process.ask(&query(format!("SELECT count(*) AS lines, min(l_comment) AS comment FROM {table}")))?;
        process.ask(&lookup(table, draw.one(0, draw.sizes.warm_up), LookupBy::Sql))?;
        let keys: Vec<_> = draw.one(0, 5).concat().iter().map(i64::to_string).collect();
        let columns = "id, l_orderkey, l_quantity, l_tax, l_shipmode, l_comment";
        let sql = format!("SELECT {columns} FROM {table} WHERE id IN ({}) ORDER BY id", keys.join(", "));
        process.ask(&query(sql))?.answer.ok_or_else(|| "no rows in the reply".into())
    }

    fn measure(mut self, draw: &Draw, round: usize, outcome: &mut Outcome) -> Result<()> {
        let one = self.ask(draw.one(round, draw.sizes.one), LookupBy::Sql)?;
        let place = |subject| Place { section: self.table, subject, engine: self.engine };
        let count = f64::from(u32::try_from(one.lap_ms.len())?);
        outcome.record(place(ONE_P50), Metric::WallMs, percentile(&one.lap_ms, 50));
        outcome.record(place(ONE_P99), Metric::WallMs, percentile(&one.lap_ms, 99));
        outcome.record(place(ALL), Metric::QueriesPerS, count / one.wall_ms * 1e3);
        outcome.record(place(ALL), Metric::CpuMs, one.cpu_ms / count);
        let lists = self.ask(draw.lists(round), LookupBy::Sql)?;
        let place = |subject| Place { section: self.table, subject, engine: self.engine };
        outcome.record(place(MANY_P50), Metric::WallMs, percentile(&lists.lap_ms, 50));
        if self.engine == CAYENNE {
            self.measure_api(draw, round, outcome);
        }
        Ok(())
    }

    /// Measures lookups through the Rust API. If they fail, they are skipped, and this is printed once.
    fn measure_api(&mut self, draw: &Draw, round: usize, outcome: &mut Outcome) {
        match self.ask(draw.one(round, draw.sizes.one), LookupBy::Api) {
            Ok(api) => {
                let place = |subject| Place { section: self.table, subject, engine: self.engine };
                outcome.record(place(API_P50), Metric::WallMs, percentile(&api.lap_ms, 50));
                outcome.record(place(API_P99), Metric::WallMs, percentile(&api.lap_ms, 99));
            }
            Err(_) if round > 1 || self.table != SORTED => {}
            Err(reason) => outcome.skip("lookups through the Rust API", reason.to_string()),
        }
    }

    /// Runs the lookups. Every key must be found exactly once.
    fn ask(&mut self, keys: Vec<Vec<i64>>, by: LookupBy) -> Result<Reply> {
        let (lists, rows) = (keys.len(), keys.iter().map(Vec::len).sum::<usize>() as u64);
        let reply = self.process.ask(&lookup(self.table, keys, by))?;
        if reply.rows != rows || reply.lap_ms.len() != lists {
            return Err(format!("{} rows in {} answers, not {rows} in {lists}", reply.rows, reply.lap_ms.len()).into());
        }
        Ok(reply)
    }
}

fn lookup(table: &str, keys: Vec<Vec<i64>>, by: LookupBy) -> Request {
    Request::Lookup { table: table.to_owned(), key: KEY.to_owned(), keys, by }
}
