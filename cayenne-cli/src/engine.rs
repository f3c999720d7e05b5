//! A database and a SQL session on it, opened for one command and closed after it.

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

/// How many users of memory an error about the limit names.
const NAMED_CONSUMERS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(4);

/// What a command works with.
pub(crate) struct Engine {
    pub(crate) database: Arc<Database>,
    pub(crate) session: SessionContext,
}

/// What Ctrl-C does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interrupts {
    /// It ends the command.
    Stop,
    /// It ends the running query; the command listens to it itself.
    CancelTheQuery,
}

/// Returns the runtime that everything runs on.
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

/// Opens the database, runs `work`, and closes the database whatever came of it.
///
/// A signal drops `work`; a commit that is under way still comes to its end before the database is closed.
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
    // A signal that ended or passed by the work does not count against closing; the next one does.
    let closed = Signals::listen()?.unless_stopped(engine.database.close()).await.map_err(Failure::Stopped)?;
    let code = done.map_err(Failure::Stopped)???;
    closed?;
    Ok(code)
}

async fn open(globals: &Globals, access: Access) -> Result<Engine, Failure> {
    let (pool, of_compaction) = memory_pools(globals);
    let builder = builder(globals).access(access).memory(Arc::clone(&pool));
    let database = builder.compaction_memory(of_compaction).open().await?;
    // A file that comes into a folder counts from the next statement on.
    let runtime = RuntimeEnvBuilder::new().with_memory_pool(pool).with_object_list_cache_limit(0).build_arc()?;
    let config = cayenne_datafusion::recommended_config(threads(globals));
    let session = cayenne_datafusion::session(config, runtime, &database)?;
    Ok(Engine { database, session })
}

/// Begins to open the database that the command line names.
pub(crate) fn builder(globals: &Globals) -> DatabaseBuilder {
    let (backend, has_upkeep) = (globals.metastore, globals.has_upkeep);
    let mut settings = DatabaseSettings { backend, has_upkeep, ..DatabaseSettings::default() };
    settings.metastore.synchronous = globals.durability.synchronous();
    Database::builder(&globals.db).settings(settings)
}

/// Returns what queries and writes are charged to, and what compaction is.
fn memory_pools(globals: &Globals) -> (Arc<dyn MemoryPool>, Arc<dyn MemoryPool>) {
    let Some(limit) = globals.memory_limit.map(NonZeroUsize::get) else {
        let unbounded: Arc<dyn MemoryPool> = Arc::new(UnboundedMemoryPool::default());
        return (Arc::clone(&unbounded), unbounded);
    };
    if !globals.has_upkeep {
        // What compacts on demand does nothing else.
        let pool = memory_pool(limit);
        return (Arc::clone(&pool), pool);
    }
    let of_compaction = compaction_memory(limit, globals.compaction_memory_fraction);
    (memory_pool(limit - of_compaction), memory_pool(of_compaction))
}

fn memory_pool(bytes: usize) -> Arc<dyn MemoryPool> {
    Arc::new(TrackConsumersPool::new(FairSpillPool::new(bytes), NAMED_CONSUMERS))
}

/// Returns an error if there is no database, for commands that would otherwise make an empty one.
pub(crate) fn refuse_missing(globals: &Globals) -> Result<(), Error> {
    if globals.db.join(path::METADATA_FOLDER).is_dir() {
        return Ok(());
    }
    Err(Error::not_found("there is no database in this folder")
        .code("no-database")
        .with("database", globals.db.display())
        .help("name its folder with --db or CAYENNE_DB"))
}
