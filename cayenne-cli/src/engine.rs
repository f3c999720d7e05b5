//! A database and a SQL session on it. They are opened for one command and closed after it.

use std::num::NonZeroUsize;
use std::sync::Arc;

use cayenne_format::{Error, path};
use cayenne_table::{Access, Database, DatabaseBuilder, DatabaseSettings, compaction_memory};
use datafusion::execution::memory_pool::{FairSpillPool, MemoryPool, TrackConsumersPool, UnboundedMemoryPool};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::SessionContext;
use tokio::runtime::Runtime;

use crate::args::Globals;
use crate::exit::Failure;
use crate::fault::caught;
use crate::signals::Signals;

/// How many memory consumers an error about the memory limit names.
const NAMED_CONSUMERS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(4);

/// The database and the SQL session of a command.
pub(crate) struct Engine {
    pub(crate) database: Arc<Database>,
    pub(crate) session: SessionContext,
}

/// What SIGINT (Ctrl-C) does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interrupts {
    /// It ends the command.
    Stop,
    /// It ends the running query. The command handles the signal itself.
    CancelTheQuery,
}

/// Returns the Tokio runtime of the command.
pub(crate) fn runtime(globals: &Globals) -> Result<Runtime, Error> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads(globals).get())
        .enable_all()
        .build()
        .map_err(|error| Error::unavailable("cannot start the threads of the command").because(error))
}

fn threads(globals: &Globals) -> NonZeroUsize {
    globals.threads.unwrap_or_else(|| std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN))
}

/// Opens the database, runs `work`, and closes the database whatever the outcome.
///
/// A signal drops `work`. A commit in progress still completes before the database is closed.
pub(crate) async fn with_engine(
    globals: &Globals,
    access: Access,
    interrupts: Interrupts,
    work: impl AsyncFnOnce(&Engine) -> Result<u8, Failure>,
) -> Result<u8, Failure> {
    let mut signals = Signals::listen()?;
    let opened = signals.unless_stopped(open(globals, access)).await.map_err(Failure::Stopped)?;
    let engine = opened?;
    let work = Box::pin(caught(work(&engine)));
    let done = match interrupts {
        Interrupts::Stop => signals.unless_stopped(work).await,
        Interrupts::CancelTheQuery => signals.unless_terminated(work).await,
    };
    // A signal that came before the close does not stop the close; the next one does.
    let closed = Signals::listen()?.unless_stopped(engine.database.close()).await.map_err(Failure::Stopped)?;
    let code = done.map_err(Failure::Stopped)???;
    closed?;
    Ok(code)
}

async fn open(globals: &Globals, access: Access) -> Result<Engine, Failure> {
    let (pool, of_compaction) = memory_pools(globals);
    let builder = builder(globals).access(access).memory(Arc::clone(&pool));
    let database = builder.compaction_memory(of_compaction).open().await?;
    // Without a cache of file lists, the next statement sees a file that was added to a folder.
    let runtime = RuntimeEnvBuilder::new().with_memory_pool(pool).with_object_list_cache_limit(0).build_arc()?;
    let config = cayenne_datafusion::recommended_config(threads(globals));
    let session = cayenne_datafusion::session(config, runtime, &database)?;
    Ok(Engine { database, session })
}

/// Returns a builder for the database that the command line names.
pub(crate) fn builder(globals: &Globals) -> DatabaseBuilder {
    let (backend, has_upkeep) = (globals.metastore, globals.has_upkeep);
    let mut settings = DatabaseSettings { backend, has_upkeep, ..DatabaseSettings::default() };
    settings.metastore.synchronous = globals.durability.synchronous();
    Database::builder(&globals.db).settings(settings)
}

/// Returns the memory pool of queries and writes, and that of compaction.
fn memory_pools(globals: &Globals) -> (Arc<dyn MemoryPool>, Arc<dyn MemoryPool>) {
    let Some(limit) = globals.memory_limit.map(NonZeroUsize::get) else {
        let unbounded: Arc<dyn MemoryPool> = Arc::new(UnboundedMemoryPool::default());
        return (Arc::clone(&unbounded), unbounded);
    };
    if !globals.has_upkeep {
        // A command that compacts on demand does nothing else, so compaction can use the whole limit.
        let pool = memory_pool(limit);
        return (Arc::clone(&pool), pool);
    }
    let of_compaction = compaction_memory(limit, globals.compaction_memory_fraction);
    (memory_pool(limit - of_compaction), memory_pool(of_compaction))
}

fn memory_pool(bytes: usize) -> Arc<dyn MemoryPool> {
    Arc::new(TrackConsumersPool::new(FairSpillPool::new(bytes), NAMED_CONSUMERS))
}

/// Fails if there is no database, for commands that would otherwise create an empty one.
pub(crate) fn refuse_missing(globals: &Globals) -> Result<(), Error> {
    if globals.db.join(path::METADATA_FOLDER).is_dir() {
        return Ok(());
    }
    Err(Error::not_found("there is no database in this folder")
        .code("no-database")
        .with("database", globals.db.display())
        .help("name its folder with --db or CAYENNE_DB"))
}
