//! The flushes of upserts, counted in a separate run.

use super::{NAME, Run, TABLE, stream};
use crate::Result;
use crate::engines::{CAYENNE, Engine, Engines};
use crate::measure::{Outcome, Results};
use crate::report::goal::Goal;
use crate::report::table::Section;
use crate::trace::Trace;
use crate::workload::flushes::{self, Counted};

pub(super) fn run(engines: &Engines, run: &Run<'_>, outcome: &mut Outcome) {
    let Some(trace) = flushes::tracer(engines.folder(), outcome) else { return };
    for engine in engines.usable() {
        let counted = run.count(engine, &trace);
        if let Some(counted) = outcome.keep(&format!("{} flushes", engine.name), counted) {
            counted.record(NAME, engine.name, outcome);
        }
    }
}

impl Run<'_> {
    fn count(&self, engine: &Engine, trace: &Trace) -> Result<Counted> {
        engine.restore()?;
        let mut process = engine.open_traced(trace)?;
        self.prepare(engine, &mut process)?;
        process.ask(&stream::upsert(TABLE, 0, 1))?;
        let commits = (1..=self.sizes.traced).map(|skip| stream::upsert(TABLE, skip, 1));
        let counted = Counted::count(&mut process, trace, commits.collect::<Vec<_>>().into_iter())?;
        process.close()?;
        Ok(counted)
    }
}

pub(super) fn sections(results: Results<'_>) -> Vec<Section> {
    vec![flushes::section(results, NAME)]
}

pub(super) fn goals(results: Results<'_>) -> Vec<Goal> {
    vec![Goal::count("flushes of an upsert", flushes::of_a_commit(results, NAME, CAYENNE), 1.0)]
}
