//! Statements with very long lists of keys.

use super::rows::check_count;
use super::{Data, LIST_TABLE, listed, series};
use crate::Result;
use crate::answer::Answer;
use crate::engines::{CAYENNE, Engine, Engines};
use crate::measure::{Metric, Outcome, Place, Results};
use crate::protocol::Request;
use crate::report::goal::Goal;
use crate::report::table::{Row, Section, Unit};
use crate::workload::compare::compare;
use crate::workload::scan::Scan;

const LIST: &str = "list";
const SELECT: &str = "select";
const DELETE: &str = "delete";

/// Runs in the database that the deletes have left. Its other tables are not used any more.
pub(super) fn run(engines: &mut Engines, data: &Data, round: usize, outcome: &mut Outcome) {
    let mut answers = Vec::new();
    for engine in engines.in_turn(round) {
        let measured = measure(engine, data, outcome);
        match outcome.keep(&format!("{} list of keys", engine.name), measured) {
            Some(answer) => answers.push((engine.name, answer)),
            None => engine.set_broken(),
        }
    }
    compare("the rows of a long list of keys", true, &answers, outcome);
}

fn measure(engine: &Engine, data: &Data, outcome: &mut Outcome) -> Result<Answer> {
    let (mut process, _) = engine.open()?;
    let place = |subject| Place { section: LIST, subject, engine: engine.name };
    let keys = listed(&data.list);
    let sql = format!("SELECT count(*) AS lines, sum(visits) AS visits FROM {LIST_TABLE} WHERE id IN ({keys})");
    let answer = Scan { place: place(SELECT), sql: &sql }.measure(&mut process, outcome)?;
    let beside = data.beside_list;
    process.ask(&Request::Execute { sql: format!("DELETE FROM {LIST_TABLE} WHERE id IN ({beside})") })?;
    let reply = process.ask(&Request::Execute { sql: format!("DELETE FROM {LIST_TABLE} WHERE id IN ({keys})") })?;
    process.close()?;
    check_count(&reply, data.list.len() as u64)?;
    outcome.record(place(DELETE), Metric::WallMs, reply.wall_ms);
    outcome.record(place(DELETE), Metric::CpuMs, reply.cpu_ms);
    Ok(answer)
}

pub(super) fn sections(results: Results<'_>) -> Vec<Section> {
    let row = |label: &str, metric, subject| Row::of_subject(label, results, series(LIST, metric), subject);
    let rows = vec![
        row("SELECT", Metric::WallMs, SELECT),
        row("DELETE", Metric::WallMs, DELETE),
        row("CPU of the SELECT", Metric::CpuMs, SELECT),
        row("CPU of the DELETE", Metric::CpuMs, DELETE),
    ];
    vec![Section::of_rows("A list of 32,768 keys", Unit::Shared, rows).in_text()]
}

pub(super) fn goals(results: Results<'_>) -> Vec<Goal> {
    let wall = |subject| results.median(series(LIST, Metric::WallMs), subject, CAYENNE);
    vec![
        Goal::ms("SELECT with a list of 32,768 keys", wall(SELECT), 300.0),
        Goal::ms("DELETE with a list of 32,768 keys", wall(DELETE), 300.0),
    ]
}
