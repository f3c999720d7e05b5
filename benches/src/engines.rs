//! The engines of one run: how each is started, where its data is, and whether it still takes part.

use std::path::PathBuf;

use serde::Serialize;

use crate::args::Peer;
use crate::measure::Outcome;
use crate::process::{Launch, Process};
use crate::protocol::{OpenSettings, Reply, Request};
use crate::trace::Trace;
use crate::{Result, folders, python};

/// The name of the engine that all others are compared with.
pub(crate) const CAYENNE: &str = "cayenne";

/// DuckDB with tables that have no key.
pub(crate) const DUCKDB: &str = "duckdb";

/// DuckDB with tables that have a primary key and thus its index: faster for some operations and slower for others.
pub(crate) const DUCKDB_WITH_KEY: &str = "duckdb-key";

/// Both forms of DuckDB. A goal compares with the better one.
pub(crate) const DUCKDB_FORMS: [&str; 2] = [DUCKDB, DUCKDB_WITH_KEY];

/// One engine with a folder of its own.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) name: &'static str,
    pub(crate) dir: PathBuf,
    launch: Launch,
    threads: usize,
    /// The version that the engine reports when it opens.
    version: Option<String>,
    /// Whether it has failed. It then takes no part in the rest of the workload.
    broken: bool,
    /// Whether the current workload includes it.
    wanted: bool,
}

impl Engine {
    /// Starts a process and opens the database.
    pub(crate) fn open(&self) -> Result<(Process, Reply)> {
        self.open_with(OpenSettings::default())
    }

    /// Starts a process and opens the database with these settings.
    pub(crate) fn open_with(&self, settings: OpenSettings) -> Result<(Process, Reply)> {
        Process::open(&self.launch, &self.open_request(settings))
    }

    /// Returns the request that opens the database.
    pub(crate) fn open_request(&self, settings: OpenSettings) -> Request {
        Request::Open { dir: self.dir.clone(), threads: self.threads, settings }
    }

    /// Starts a process under a tracer that records its flushes, and opens the database.
    pub(crate) fn open_traced(&self, trace: &Trace) -> Result<Process> {
        Ok(Process::open(&trace.around(&self.launch), &self.open_request(OpenSettings::default()))?.0)
    }

    /// Starts a process without sending it a request.
    pub(crate) fn start(&self) -> Result<Process> {
        Process::start(&self.launch)
    }

    /// Returns the primary key of the engine's tables: `key`, or `None` for an engine that is measured without one.
    pub(crate) fn key_of(&self, key: &str) -> Option<String> {
        (self.name != DUCKDB).then(|| key.to_owned())
    }

    pub(crate) fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// Stores the version that the engine reported.
    pub(crate) fn set_version(&mut self, version: Option<String>) {
        self.version = version;
    }

    /// Removes all data.
    pub(crate) fn reset(&self) -> Result<()> {
        folders::reset(&self.dir)
    }

    /// Keeps a copy of the database for `restore`. No process may have it open.
    pub(crate) fn keep(&self) -> Result<()> {
        folders::replace(&self.kept_dir(), &self.dir)
    }

    /// Replaces the database by the copy that was kept.
    pub(crate) fn restore(&self) -> Result<()> {
        folders::replace(&self.dir, &self.kept_dir())
    }

    /// Returns the size on disk of the copy.
    pub(crate) fn kept_bytes(&self) -> Result<u64> {
        folders::size_bytes(&self.kept_dir())
    }

    /// Removes the copy and the database.
    pub(crate) fn forget_kept(&self) -> Result<()> {
        folders::reset(&self.kept_dir())?;
        self.reset()
    }

    fn kept_dir(&self) -> PathBuf {
        self.dir.with_extension("kept")
    }

    /// Excludes the engine from the rest of the workload.
    pub(crate) fn set_broken(&mut self) {
        self.broken = true;
    }

    fn takes_part(&self) -> bool {
        self.wanted && !self.broken
    }
}

/// A requested engine that cannot take part.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Skipped {
    pub(crate) engine: String,
    pub(crate) reason: String,
}

/// All engines of a run, Cayenne first.
#[derive(Debug)]
pub(crate) struct Engines {
    all: Vec<Engine>,
    skipped: Vec<Skipped>,
    /// The folder of the run. It is removed at the end of the run.
    folder: tempfile::TempDir,
}

impl Engines {
    /// Prepares Cayenne and `peers`. A peer that is not available is skipped, and this is printed.
    pub(crate) fn prepare(peers: &[Peer], threads: usize) -> Result<Self> {
        let work = folders::cache()?.join("bench-work");
        std::fs::create_dir_all(&work)?;
        let folder = tempfile::Builder::new().prefix("run-").tempdir_in(work)?;
        let mut engines = Self { all: Vec::new(), skipped: Vec::new(), folder };
        engines.add(CAYENNE, own_binary(CAYENNE)?, threads)?;
        if peers.contains(&Peer::Parquet) {
            engines.add(Peer::Parquet.name(), own_binary(Peer::Parquet.name())?, threads)?;
        }
        if peers.contains(&Peer::Duckdb) {
            engines.add_duckdb(threads)?;
        }
        if peers.contains(&Peer::Sqlite) {
            engines.add(Peer::Sqlite.name(), own_binary(Peer::Sqlite.name())?, threads)?;
        }
        Ok(engines)
    }

    /// Selects the engines with these names for the next workload, including those that failed in an earlier one.
    pub(crate) fn choose(&mut self, names: &[&str]) {
        for engine in &mut self.all {
            engine.wanted = names.contains(&engine.name);
            engine.broken = false;
        }
    }

    /// Returns the engines that still take part.
    pub(crate) fn usable(&self) -> impl Iterator<Item = &Engine> {
        self.all.iter().filter(|engine| engine.takes_part())
    }

    /// Returns the engines that still take part, mutably.
    pub(crate) fn usable_mut(&mut self) -> impl Iterator<Item = &mut Engine> {
        self.all.iter_mut().filter(|engine| engine.takes_part())
    }

    /// Returns the engines that still take part, in the order of one round.
    ///
    /// The first engine of a round is the last of the next round, so that no engine always follows the same one.
    pub(crate) fn in_turn(&mut self, round: usize) -> Vec<&mut Engine> {
        let mut engines: Vec<_> = self.usable_mut().collect();
        let first = round % engines.len().max(1);
        engines.rotate_left(first);
        engines
    }

    /// Returns all engines, with or without results.
    pub(crate) fn all(&self) -> &[Engine] {
        &self.all
    }

    /// Returns the folder of this run. It is removed with the run.
    pub(crate) fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    pub(crate) fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }

    fn add_duckdb(&mut self, threads: usize) -> Result<()> {
        match python::with_duckdb() {
            Ok(program) => {
                let script = python::write_script(self.folder.path())?;
                let launch = Launch { program, arguments: vec![script.into()] };
                self.add(DUCKDB, launch.clone(), threads)?;
                self.add(DUCKDB_WITH_KEY, launch, threads)
            }
            Err(reason) => {
                println!("SKIPPED duckdb: {reason}");
                self.skipped.push(Skipped { engine: Peer::Duckdb.name().to_owned(), reason: reason.to_string() });
                Ok(())
            }
        }
    }

    fn add(&mut self, name: &'static str, launch: Launch, threads: usize) -> Result<()> {
        let dir = self.folder.path().join(name);
        folders::reset(&dir)?;
        self.all.push(Engine { name, dir, launch, threads, version: None, broken: false, wanted: true });
        Ok(())
    }
}

/// Opens one process for each usable engine. An engine that does not open is recorded as a problem and left out.
pub(crate) fn open_all<'a>(engines: &'a Engines, outcome: &mut Outcome) -> Vec<(&'a Engine, Process)> {
    let mut running = Vec::new();
    for engine in engines.usable() {
        let opened = outcome.keep(&format!("{} open", engine.name), engine.open());
        running.extend(opened.map(|(process, _)| (engine, process)));
    }
    running
}

fn own_binary(engine: &str) -> Result<Launch> {
    let program = std::env::current_exe()?;
    Ok(Launch { program, arguments: vec!["engine".into(), engine.into()] })
}
