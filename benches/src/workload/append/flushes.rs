//! The flushes of appends, counted in a separate run.

use std::path::Path;

use super::{NAME, Sizes};
use crate::engines::{CAYENNE, Engine, Engines};
use crate::measure::{Outcome, Results};
use crate::protocol::Request;
use crate::report::goal::Goal;
use crate::report::table::Section;
use crate::trace::Trace;
use crate::workload::Options;
use crate::workload::flushes::{self, Counted};
use crate::{Result, events};

const TABLE: &str = "events";

pub(super) fn run(engines: &Engines, sizes: &Sizes, options: &Options, outcome: &mut Outcome) -> Result<()> {
    let Some(trace) = flushes::tracer(engines.folder(), outcome) else { return Ok(()) };
    let source = events::prepare(&options.data, sizes.traced * sizes.rows_per_commit)?;
    for engine in engines.usable() {
        let counted = count(engine, &trace, &source, sizes);
        if let Some(counted) = outcome.keep(&format!("{} flushes", engine.name), counted) {
            counted.record(NAME, engine.name, outcome);
        }
    }
    Ok(())
}

fn count(engine: &Engine, trace: &Trace, source: &Path, sizes: &Sizes) -> Result<Counted> {
    engine.reset()?;
    let mut process = engine.open_traced(trace)?;
    let (tables, rows_per_commit) = (vec![TABLE.to_owned()], sizes.rows_per_commit);
    process.ask(&Request::Prepare { source: source.to_owned(), rows_per_commit, tables, key: None })?;
    let one = Request::Append { table: TABLE.to_owned(), commits: 1 };
    process.ask(&one)?;
    let counted = Counted::count(&mut process, trace, vec![one; sizes.traced].into_iter())?;
    process.close()?;
    Ok(counted)
}

pub(super) fn sections(results: Results<'_>) -> Vec<Section> {
    vec![flushes::section(results, NAME)]
}

pub(super) fn goals(results: Results<'_>) -> Vec<Goal> {
    vec![Goal::count("flushes of a commit", flushes::of_a_commit(results, NAME, CAYENNE), 1.0)]
}
