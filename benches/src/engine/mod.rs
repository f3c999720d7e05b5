//! The engine's side of the protocol: a process that serves one engine until it is asked to close.
//!
//! All Rust engines run in this loop, on the same runtime. The DataFusion engines share the session settings too, so
//! that their numbers differ only by the table format and the use that the engine makes of it.

mod cayenne;
mod cayenne_rows;
mod cayenne_upkeep;
mod fabricate;
mod parquet;
mod prepared;
mod session;
mod sqlite;

pub(crate) use cayenne_upkeep::COMMITS_WORTH_A_PASS;
pub(crate) use fabricate::FILE_ROWS;

use std::future::Future;
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::RecordBatch;
use tokio::runtime::{Builder, Runtime};

use crate::answer::Answer;
use crate::args::EngineName;
use crate::engine::cayenne::Cayenne;
use crate::engine::parquet::Parquet;
use crate::engine::sqlite::Sqlite;
use crate::protocol::{OpenSettings, Reply, Request};
use crate::{Result, os};

/// The resources that an engine may use.
#[derive(Clone, Copy)]
struct Limits {
    threads: usize,
    settings: OpenSettings,
}

/// An engine that this process can measure. Futures are `Send`, so that they run on the counted worker threads.
trait Engine: Send + Sync + 'static {
    /// The version for the report.
    fn version() -> String;

    /// Opens or creates the database in `dir`.
    fn open(dir: PathBuf, limits: Limits) -> impl Future<Output = Result<Self>> + Send
    where
        Self: Sized;

    /// Copies a Parquet file into a new table, with `key` as its primary key. The rows are on stable storage when this
    /// returns.
    fn load(&self, table: &str, source: &Path, key: Option<&str>) -> impl Future<Output = Result<()>> + Send;

    /// Runs a query and returns all of its rows.
    fn query(&self, sql: &str) -> impl Future<Output = Result<Vec<RecordBatch>>> + Send;

    /// Serves the requests that not every engine supports, and measures only the requested work.
    fn serve(self: Arc<Self>, request: Request) -> impl Future<Output = Result<Reply>> + Send;

    /// Closes the database.
    fn close(self) -> impl Future<Output = Result<()>> + Send;
}

/// Serves the engine with that name over stdin and stdout until `close` or the end of input.
pub(crate) fn serve(name: EngineName) -> Result<()> {
    os::use_small_pages();
    match name {
        EngineName::Cayenne => serve_engine::<Cayenne>(),
        EngineName::Parquet => serve_engine::<Parquet>(),
        EngineName::Sqlite => serve_engine::<Sqlite>(),
    }
}

fn serve_engine<E: Engine>() -> Result<()> {
    let mut lines = std::io::stdin().lock().lines();
    let Some(first) = lines.next() else { return Ok(()) };
    let Request::Open { dir, threads, settings } = serde_json::from_str(&first?)? else {
        return Err("the first request opens the database".into());
    };
    let runtime = Builder::new_multi_thread().worker_threads(threads).enable_all().build()?;
    let clock = Clock::start();
    let engine = match run(&runtime, E::open(dir, Limits { threads, settings })) {
        Ok(engine) => engine,
        Err(failure) => return tell(&failed(failure.as_ref())),
    };
    tell(&clock.reply(Reply { version: Some(E::version()), ..Reply::default() }))?;
    serve_requests(&runtime, engine, lines)
}

fn serve_requests<E: Engine>(
    runtime: &Runtime,
    engine: E,
    lines: impl Iterator<Item = std::io::Result<String>>,
) -> Result<()> {
    let engine = Arc::new(engine);
    for line in lines {
        let shared = Arc::clone(&engine);
        let outcome = match serde_json::from_str(&line?)? {
            Request::Open { .. } => Err("the database is open already".into()),
            Request::Load { table, source, key } => load(runtime, shared, table, source, key),
            Request::Query { sql, answer, .. } => query(runtime, shared, sql, answer),
            Request::Close => {
                drop(shared);
                let engine = Arc::into_inner(engine).ok_or("a request still uses the engine")?;
                return close(runtime, engine);
            }
            other => run(runtime, shared.serve(other)),
        };
        tell(&outcome.unwrap_or_else(|failure: Box<_>| failed(failure.as_ref())))?;
    }
    Ok(())
}

fn load<E: Engine>(
    runtime: &Runtime,
    engine: Arc<E>,
    table: String,
    source: PathBuf,
    key: Option<String>,
) -> Result<Reply> {
    let clock = Clock::start();
    run(runtime, async move { engine.load(&table, &source, key.as_deref()).await })?;
    Ok(clock.reply(Reply::default()))
}

fn query<E: Engine>(runtime: &Runtime, engine: Arc<E>, sql: String, answer: bool) -> Result<Reply> {
    let clock = Clock::start();
    let batches = run(runtime, async move { engine.query(&sql).await })?;
    let reply = clock.reply(Reply::default());
    let rows = batches.iter().map(|batch| batch.num_rows() as u64).sum();
    let answer = if answer { Some(Answer::from_batches(&batches)?) } else { None };
    Ok(Reply { rows, answer, ..reply })
}

fn close<E: Engine>(runtime: &Runtime, engine: E) -> Result<()> {
    let clock = Clock::start();
    let reply = match run(runtime, engine.close()) {
        Ok(()) => clock.reply(Reply::default()),
        Err(failure) => failed(failure.as_ref()),
    };
    tell(&reply)
}

/// Runs `work` on the worker threads. This thread only waits, so that an engine has exactly the threads it was given.
fn run<T: Send + 'static>(runtime: &Runtime, work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
    runtime.block_on(runtime.spawn(work)).map_err(|error| format!("the engine panicked: {error}"))?
}

/// The error for a request that this engine does not serve.
fn refuse(request: &Request) -> Result<Reply> {
    let request = serde_json::to_value(request)?;
    let operation = request.get("op").and_then(serde_json::Value::as_str).unwrap_or_default();
    Err(format!("this engine does not serve `{operation}`").into())
}

fn failed(failure: &(dyn std::error::Error + Send + Sync)) -> Reply {
    Reply { error: Some(failure.to_string()), ..Reply::default() }
}

fn tell(reply: &Reply) -> Result<()> {
    let mut output = std::io::stdout().lock();
    serde_json::to_writer(&mut output, reply)?;
    output.write_all(b"\n")?;
    output.flush()?;
    Ok(())
}

/// Measures wall and CPU time since the start of a request.
struct Clock {
    wall: Instant,
    cpu: Duration,
}

impl Clock {
    fn start() -> Self {
        Self { wall: Instant::now(), cpu: os::cpu_time() }
    }

    /// Stops the clock, and adds the times and the peak memory to `reply`.
    fn reply(self, reply: Reply) -> Reply {
        let wall_ms = self.wall.elapsed().as_secs_f64() * 1e3;
        let cpu_ms = os::cpu_time().saturating_sub(self.cpu).as_secs_f64() * 1e3;
        Reply { wall_ms, cpu_ms, peak_rss_bytes: os::peak_rss_bytes(), ..reply }
    }
}
