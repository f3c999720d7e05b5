//! Loads of tables: every round starts with an empty folder and a fresh process, and ends with a closed database.

use crate::Result;
use crate::engines::{Engine, Engines};
use crate::measure::{Metric, Outcome, Place};
use crate::protocol::{Reply, Request};
use crate::workload::Options;
use crate::{data, folders};

pub(super) const LOAD: &str = "load";

/// The subject of a number that covers a whole section.
pub(super) const ALL: &str = "all";

/// The subject of the memory that an engine uses before it has loaded anything.
pub(super) const BEFORE: &str = "before";

/// Loads `tables` into all engines `rounds` times, engine by engine, and keeps the data of the last round.
///
/// An engine that fails to load is excluded from the rest of the workload.
pub(super) fn measure(
    engines: &mut Engines,
    tables: &[&'static str],
    rounds: usize,
    options: &Options,
    outcome: &mut Outcome,
) -> Result<()> {
    data::prepare(&options.data, options.sf, tables)?;
    data::read_once(&options.data, tables)?;
    for round in 1..=rounds {
        println!("load: round {round} of {rounds}");
        for engine in engines.usable_mut() {
            let loaded = load_once(engine, tables, options, outcome);
            if outcome.keep(&format!("{} load", engine.name), loaded).is_none() {
                engine.set_broken();
            }
        }
    }
    Ok(())
}

/// Loads only `tables` into all engines, without recording the numbers.
pub(super) fn unmeasured(
    engines: &mut Engines,
    tables: &[&'static str],
    options: &Options,
    outcome: &mut Outcome,
) -> Result<()> {
    let mut loaded = Outcome::default();
    measure(engines, tables, 1, options, &mut loaded)?;
    outcome.problems.append(&mut loaded.problems);
    Ok(())
}

fn load_once(engine: &mut Engine, tables: &[&'static str], options: &Options, outcome: &mut Outcome) -> Result<()> {
    engine.reset()?;
    let place = |subject| Place { section: LOAD, subject, engine: engine.name };
    let (mut process, opened) = engine.open()?;
    record_peak(place(BEFORE), &opened, outcome);
    let mut total = Total::default();
    for table in tables {
        let source = data::file(&options.data, table);
        let reply = process.ask(&Request::Load { table: (*table).to_owned(), source, key: None })?;
        outcome.record(place(table), Metric::WallMs, reply.wall_ms);
        outcome.record(place(table), Metric::CpuMs, reply.cpu_ms);
        total.add(&reply);
    }
    let closed = process.close()?;
    total.add(&closed);
    outcome.record(place(ALL), Metric::WallMs, total.wall_ms);
    outcome.record(place(ALL), Metric::CpuMs, total.cpu_ms);
    record_peak(place(ALL), &closed, outcome);
    outcome.record_bytes(place(ALL), Metric::DiskBytes, folders::size_bytes(&engine.dir)?);
    engine.set_version(opened.version);
    Ok(())
}

/// Records the peak memory if the system provides it.
pub(super) fn record_peak(place: Place<'_>, reply: &Reply, outcome: &mut Outcome) {
    if let Some(bytes) = reply.peak_rss_bytes {
        outcome.record_bytes(place, Metric::PeakRssBytes, bytes);
    }
}

/// The sum over all tables and the close of the database, which may do work that the loads have deferred.
#[derive(Default)]
struct Total {
    wall_ms: f64,
    cpu_ms: f64,
}

impl Total {
    fn add(&mut self, reply: &Reply) {
        self.wall_ms += reply.wall_ms;
        self.cpu_ms += reply.cpu_ms;
    }
}
