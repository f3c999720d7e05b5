//! Databases that are loaded once and restored for each repetition, so that each begins with the same files.

use std::path::Path;

use crate::Result;
use crate::engines::{CAYENNE, DUCKDB, DUCKDB_WITH_KEY, Engine, Engines};
use crate::folders;
use crate::measure::{Metric, Outcome, Place, Results, Series};
use crate::protocol::Request;
use crate::report::table::{Row, Section, Unit};
use crate::workload::load::{ALL, LOAD};

/// The engines whose tables have keys, and also DuckDB without keys.
pub(super) const KEYED_ENGINES: &[&str] = &[CAYENNE, DUCKDB, DUCKDB_WITH_KEY, "sqlite"];

/// The keyed engines that can write and read concurrently.
pub(super) const CONCURRENT_ENGINES: &[&str] = &[CAYENNE, DUCKDB, DUCKDB_WITH_KEY];

/// One table of a base.
pub(super) struct BaseTable<'a> {
    pub(super) name: &'a str,
    pub(super) source: &'a Path,
    /// The primary key, for the engines that are measured with one.
    pub(super) key: Option<&'a str>,
}

/// Loads `tables` into every engine and keeps a copy of the closed databases.
///
/// An engine that fails to load is excluded from the rest of the workload.
pub(super) fn load(engines: &mut Engines, tables: &[BaseTable<'_>], outcome: &mut Outcome) {
    for engine in engines.usable_mut() {
        println!("loading {}", engine.name);
        let loaded = load_once(engine, tables, outcome);
        if outcome.keep(&format!("{} load", engine.name), loaded).is_none() {
            engine.set_broken();
        }
    }
}

fn load_once(engine: &mut Engine, tables: &[BaseTable<'_>], outcome: &mut Outcome) -> Result<()> {
    engine.reset()?;
    let (mut process, opened) = engine.open()?;
    let mut wall_ms = 0.0;
    for BaseTable { name, source, key } in tables {
        let key = key.and_then(|key| engine.key_of(key));
        let load = Request::Load { table: (*name).to_owned(), source: source.to_path_buf(), key };
        wall_ms += process.ask(&load)?.wall_ms;
    }
    wall_ms += process.close()?.wall_ms;
    let place = Place { section: LOAD, subject: ALL, engine: engine.name };
    outcome.record(place, Metric::WallMs, wall_ms);
    outcome.record_bytes(place, Metric::DiskBytes, folders::size_bytes(&engine.dir)?);
    engine.set_version(opened.version);
    engine.keep()
}

/// Removes the copies and the databases. A folder that cannot be removed is removed with the run.
pub(super) fn forget(engines: &Engines, outcome: &mut Outcome) {
    for engine in engines.usable() {
        outcome.keep(&format!("{} clean-up", engine.name), engine.forget_kept());
    }
}

pub(super) fn section(results: Results<'_>, workload: &str) -> Section {
    let row = |label: &str, metric| Row::of_subject(label, results, Series { workload, section: LOAD, metric }, ALL);
    let rows = vec![row("load, with the key: wall time", Metric::WallMs), row("bytes on disk", Metric::DiskBytes)];
    Section::of_rows("Base, loaded once", Unit::PerRow, rows)
}
