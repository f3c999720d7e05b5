//! Open: the time from the start of a process to the first answer, with a cold and with a warm file cache.

use crate::Result;
use crate::engines::{CAYENNE, Engine, Engines};
use crate::folders;
use crate::measure::{Metric, Outcome, Place, Results, Series};
use crate::protocol::{OpenSettings, Reply, Request};
use crate::report::goal::Goal;
use crate::report::table::{Row, Section, Table, Unit};
use crate::workload::queries::Q06;
use crate::workload::{Options, QUERY_ENGINES, Workload, load};

const NAME: &str = "open";
const COLD: &str = "cold";
const WARM: &str = "warm";
const TABLE: &str = "lineitem";

/// The workload; see the module.
pub(super) struct Open;

impl Workload for Open {
    fn name(&self) -> &'static str {
        NAME
    }

    fn describe(&self) -> &'static str {
        "Starts a process, opens a database that holds lineitem alone, and answers TPC-H query 6. \
         Cold means that the kernel was told to forget the pages of the data files, but not those of the programs. \
         The time runs from the start of the process to the answer; for DuckDB that includes Python and its import, \
         so opening and querying alone are given as well, and the goal compares with those."
    }

    fn engines(&self) -> &'static [&'static str] {
        QUERY_ENGINES
    }

    fn run(&self, engines: &mut Engines, options: &Options) -> Result<Outcome> {
        let mut outcome = Outcome::default();
        load::unmeasured(engines, &[TABLE], options, &mut outcome)?;
        for section in [COLD, WARM] {
            for round in 1..=options.rounds {
                println!("open: {section} round {round} of {}", options.rounds);
                for engine in engines.usable() {
                    let step = once(engine, section == COLD, options);
                    if let Some(first) = outcome.keep(&format!("{} open {section}", engine.name), step) {
                        first.record(section, engine.name, &mut outcome);
                    }
                }
            }
        }
        Ok(outcome)
    }

    fn table(&self, results: Results<'_>) -> Table {
        let row = |label: &str, section, metric| Row::of_subject(label, results, series(section, metric), Q06.id);
        let rows = vec![
            row("cold: start to answer", COLD, Metric::SpawnToAnswerMs),
            row("cold: open and query alone", COLD, Metric::WallMs),
            row("cold: CPU of open and query", COLD, Metric::CpuMs),
            row("warm: start to answer", WARM, Metric::SpawnToAnswerMs),
            row("warm: open and query alone", WARM, Metric::WallMs),
            row("warm: CPU of open and query", WARM, Metric::CpuMs),
        ];
        Table { sections: vec![Section::of_rows("First answer of a new process", Unit::Shared, rows).in_text()] }
    }

    fn goals(&self, results: Results<'_>) -> Vec<Goal> {
        let goal = |name: &str, section| {
            let median = |engine, metric| results.median(series(section, metric), Q06.id, engine);
            // Our time includes the start of the process, that of DuckDB only opening and querying: the harder
            // comparison for us.
            let ours = median(CAYENNE, Metric::SpawnToAnswerMs);
            Goal::ratio_of(name, ours, median("duckdb", Metric::WallMs), 0.7)
        };
        vec![goal("open cold vs duckdb", COLD), goal("open warm vs duckdb", WARM)]
    }
}

fn series(section: &'static str, metric: Metric) -> Series<'static> {
    Series { workload: NAME, section, metric }
}

/// The times of one fresh process up to its first answer.
struct First {
    spawn_to_answer_ms: f64,
    opened: Reply,
    answered: Reply,
}

impl First {
    fn record(&self, section: &str, engine: &str, outcome: &mut Outcome) {
        let place = Place { section, subject: Q06.id, engine };
        outcome.record(place, Metric::SpawnToAnswerMs, self.spawn_to_answer_ms);
        outcome.record(place, Metric::WallMs, self.opened.wall_ms + self.answered.wall_ms);
        outcome.record(place, Metric::CpuMs, self.opened.cpu_ms + self.answered.cpu_ms);
    }
}

/// Sends both requests at once, so that the engine never waits for this process.
fn once(engine: &Engine, cold: bool, options: &Options) -> Result<First> {
    if cold {
        folders::forget(&engine.dir)?;
    }
    let start = std::time::Instant::now();
    let mut process = engine.start()?;
    process.send(&engine.open_request(OpenSettings::default()))?;
    process.send(&Request::Query { id: Q06.id.to_owned(), sql: Q06.sql(options.sf), answer: false })?;
    let opened = process.receive()?;
    let answered = process.receive()?;
    let spawn_to_answer_ms = start.elapsed().as_secs_f64() * 1e3;
    process.close()?;
    Ok(First { spawn_to_answer_ms, opened, answered })
}
