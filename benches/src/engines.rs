//! The engines of one run: how each is started, where its data lies, and whether it still takes part.

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

/// DuckDB with tables that have a primary key, and so an index of it: faster at some things and slower at others.
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
    /// As the engine tells it when it opens.
    version: Option<String>,
    /// Whether it failed; the engine then sits out the rest of the workload.
    broken: bool,
    /// Whether the workload that runs has work for it.
    wanted: bool,
}

impl Engine {
    /// Starts a process and opens the database.
    pub(crate) fn open(&self) -> Result<(Process, Reply)> {
        self.open_with(OpenSettings::default())
    }

    /// Starts a process and opens the database in another than the usual way.
    pub(crate) fn open_with(&self, settings: OpenSettings) -> Result<(Process, Reply)> {
        Process::open(&self.launch, &self.open_request(settings))
    }

    /// Returns the request that opens the database.
    pub(crate) fn open_request(&self, settings: OpenSettings) -> Request {
        Request::Open { dir: self.dir.clone(), threads: self.threads, settings }
    }

    /// Starts a process whose flushes are written down, and opens the database.
    pub(crate) fn open_traced(&self, trace: &Trace) -> Result<Process> {
        Ok(Process::open(&trace.around(&self.launch), &self.open_request(OpenSettings::default()))?.0)
    }

    /// Starts a process and asks nothing of it.
    pub(crate) fn start(&self) -> Result<Process> {
        Process::start(&self.launch)
    }

    /// Returns the primary key that the engine's tables have: `key`, or none in an engine that is measured without.
    pub(crate) fn key_of(&self, key: &str) -> Option<String> {
        (self.name != DUCKDB).then(|| key.to_owned())
    }

    pub(crate) fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// Remembers what the engine told of itself.
    pub(crate) fn set_version(&mut self, version: Option<String>) {
        self.version = version;
    }

    /// Removes all data.
    pub(crate) fn reset(&self) -> Result<()> {
        folders::reset(&self.dir)
    }

    /// Keeps the database as it is, to be put back by `restore`. No process has it open.
    pub(crate) fn keep(&self) -> Result<()> {
        folders::replace(&self.kept_dir(), &self.dir)
    }

    /// Puts back the database that was kept.
    pub(crate) fn restore(&self) -> Result<()> {
        folders::replace(&self.dir, &self.kept_dir())
    }

    /// Returns the size on disk of what was kept.
    pub(crate) fn kept_bytes(&self) -> Result<u64> {
        folders::size_bytes(&self.kept_dir())
    }

    /// Frees the disk of what was kept, and of the database.
    pub(crate) fn forget_kept(&self) -> Result<()> {
        folders::reset(&self.kept_dir())?;
        self.reset()
    }

    fn kept_dir(&self) -> PathBuf {
        self.dir.with_extension("kept")
    }

    /// Takes the engine out of the rest of the workload.
    pub(crate) fn set_broken(&mut self) {
        self.broken = true;
    }

    fn takes_part(&self) -> bool {
        self.wanted && !self.broken
    }
}

/// An engine that was asked for and could not take part.
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
    /// Removed with everything in it at the end of the run.
    folder: tempfile::TempDir,
}

impl Engines {
    /// Prepares Cayenne and `peers`; a peer that is not to be had is skipped with a loud word.
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

    /// Lets only the engines of these names take part from now on, those that failed in another workload too.
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

    /// Returns the engines that still take part, to be loaded.
    pub(crate) fn usable_mut(&mut self) -> impl Iterator<Item = &mut Engine> {
        self.all.iter_mut().filter(|engine| engine.takes_part())
    }

    /// Returns the engines that still take part, in the order of one round.
    ///
    /// Whoever comes first in one round comes last in the next, so that no engine always follows the same one.
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

    /// Returns the folder of this run, which goes away with it.
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

/// Opens one process per usable engine; an engine that does not open is a problem and is left out.
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
