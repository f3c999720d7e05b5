//! Cayenne's tables with primary keys: upserts, deletes and lookups.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::{Int64Array, RecordBatch};
use cayenne_format::{TableName, TableOptions};
use cayenne_table::{DatabaseSettings, Table};
use datafusion::physical_plan::common::collect;
use datafusion::prelude::SessionContext;
use datafusion::scalar::ScalarValue;
use futures::future::try_join_all;

use super::cayenne::{Cayenne, append};
use super::cayenne_upkeep::stored_files;
use super::prepared::LapClock;
use super::{Clock, Limits, session};
use crate::Result;
use crate::answer::{Answer, Cell};
use crate::protocol::{LookupBy, Reply, Request};

/// The most failures of concurrent tasks that are collected; more would add no information.
const FAILURES_MAX: usize = 100;

/// Returns the settings of a database: the defaults, except for the limits in `limits`.
pub(super) fn settings(limits: Limits) -> DatabaseSettings {
    let defaults = DatabaseSettings::default();
    let key_index_cache_bytes = limits.settings.key_index_bytes.unwrap_or(defaults.key_index_cache_bytes);
    DatabaseSettings { key_index_cache_bytes, has_upkeep: !limits.settings.is_left_alone, ..defaults }
}

/// Returns the options of a table with this primary key.
pub(super) fn options(key: Option<&str>) -> TableOptions {
    TableOptions { primary_key: key.into_iter().map(str::to_owned).collect(), ..TableOptions::default() }
}

impl Cayenne {
    /// Serves the requests about keyed tables.
    pub(super) async fn serve_rows(&self, request: Request) -> Result<Reply> {
        match request {
            Request::Execute { sql } => self.execute(&sql).await,
            Request::Upsert { table, skip, commits, .. } => self.upsert(&table, skip, commits).await,
            Request::Mixed { table, seconds, readers, sql, .. } => {
                let end = Duration::try_from_secs_f64(seconds)?;
                self.mixed(&table, end, readers, &sql).await
            }
            Request::Lookup { table, key, keys, by: LookupBy::Sql } => self.lookup(&table, &key, &keys).await,
            Request::Lookup { table, keys, by: LookupBy::Api, .. } => self.lookup_by_api(&table, &keys).await,
            Request::KeyIndex => {
                let (key_index_bytes, _) = self.database.row_cache_bytes();
                Ok(Reply { key_index_bytes: Some(key_index_bytes), ..Reply::default() })
            }
            other => self.serve_upkeep(other).await,
        }
    }

    pub(super) async fn load_with_key(&self, table: &str, source: &Path, key: &str) -> Result<()> {
        let from = session::add_source(&self.ctx, table, source).await?;
        let schema = self.ctx.table(from.as_str()).await?.schema().as_arrow().clone();
        self.database.create_table(&TableName::try_from(table)?, &schema, options(Some(key))).await?;
        self.run(&format!("INSERT INTO {table} SELECT * FROM {from}")).await?;
        Ok(())
    }

    /// Runs a statement and returns all of its rows.
    pub(super) async fn run(&self, sql: &str) -> Result<Vec<RecordBatch>> {
        Ok(cayenne_datafusion::sql(&self.ctx, sql).await?.collect().await?)
    }

    /// Runs a statement that changes rows, and returns their number.
    async fn execute(&self, sql: &str) -> Result<Reply> {
        let clock = Clock::start();
        let batches = self.run(sql).await?;
        let reply = clock.reply(Reply::default());
        let answer = Answer::from_batches(&batches)?;
        match answer.rows.first().and_then(|row| row.first()) {
            Some(Cell::Whole(rows)) => Ok(Reply { rows: u64::try_from(*rows)?, ..reply }),
            other => Err(format!("a statement answered {other:?} instead of a number of rows").into()),
        }
    }

    async fn upsert(&self, table: &str, skip: usize, commits: usize) -> Result<Reply> {
        let prepared = self.prepared.commits(skip + commits)?;
        let table = self.table(table).await?;
        let clock = Clock::start();
        let (mut files, mut laps) = (0, LapClock::start(commits));
        for batch in prepared.iter().skip(skip).take(commits) {
            append(&table, batch).await?;
            laps.lap();
            files = files.max(stored_files(&table).await?);
        }
        Ok(clock.reply(Reply { lap_ms: laps.lap_ms, files: Some(files), ..Reply::default() }))
    }

    async fn mixed(&self, table: &str, time: Duration, readers: usize, sql: &str) -> Result<Reply> {
        let (prepared, table) = (self.prepared.commits(1)?, self.table(table).await?);
        let clock = Clock::start();
        let end = Instant::now() + time;
        let writer = tokio::spawn(write_until(end, table, prepared));
        let readers = (0..readers).map(|_| tokio::spawn(read_until(end, self.ctx.clone(), sql.to_owned())));
        let readers: Vec<_> = readers.collect();
        let (written, read) = (writer.await?, try_join_all(readers).await?);
        let reply = clock.reply(Reply { lap_ms: written.lap_ms, failures: written.failures, ..Reply::default() });
        Ok(read.into_iter().fold(reply, |mut reply, one| {
            reply.read_ms.extend(one.lap_ms);
            reply.failures.extend(one.failures);
            reply
        }))
    }

    /// Looks rows up without SQL. Each lookup takes a view of its own, as a program that serves requests does.
    async fn lookup_by_api(&self, table: &str, keys: &[Vec<i64>]) -> Result<Reply> {
        let table = self.database.table(&TableName::try_from(table)?).await?.ok_or("there is no such table")?;
        let columns: Vec<usize> = (0..table.schema().fields().len()).collect();
        let clock = Clock::start();
        let (mut rows, mut laps) = (0, LapClock::start(keys.len()));
        for keys in keys {
            let view = table.view().await?;
            let found = table.lookup(&view, &[Arc::new(Int64Array::from(keys.clone()))], &columns).await?;
            rows += found.iter().map(|batch| batch.num_rows() as u64).sum::<u64>();
            laps.lap();
        }
        Ok(clock.reply(Reply { rows, lap_ms: laps.lap_ms, ..Reply::default() }))
    }

    /// Looks up one key with a prepared query, and several with an `IN` list of literals.
    async fn lookup(&self, table: &str, key: &str, keys: &[Vec<i64>]) -> Result<Reply> {
        let select = format!("SELECT * FROM {table} WHERE {key}");
        let one = cayenne_datafusion::prepare(&self.ctx, &format!("{select} = $1")).await?;
        let clock = Clock::start();
        let (mut rows, mut laps) = (0, LapClock::start(keys.len()));
        for keys in keys {
            let found = match keys.as_slice() {
                [key] => collect(one.execute(&[ScalarValue::from(*key)]).await?).await?,
                several => {
                    let list: Vec<_> = several.iter().map(i64::to_string).collect();
                    self.run(&format!("{select} IN ({})", list.join(", "))).await?
                }
            };
            rows += found.iter().map(|batch| batch.num_rows() as u64).sum::<u64>();
            laps.lap();
        }
        Ok(clock.reply(Reply { rows, lap_ms: laps.lap_ms, ..Reply::default() }))
    }
}

/// What one task has done until its time was over.
#[derive(Default)]
struct Done {
    lap_ms: Vec<f64>,
    failures: Vec<String>,
}

impl Done {
    fn is_over(&self, end: Instant) -> bool {
        Instant::now() >= end || self.failures.len() >= FAILURES_MAX
    }

    /// Adds the outcome of one repetition. A failure is recorded and does not end the task.
    fn add(&mut self, begun: Instant, outcome: Result<()>) {
        match outcome {
            Ok(()) => self.lap_ms.push(begun.elapsed().as_secs_f64() * 1e3),
            Err(failure) => self.failures.push(failure.to_string()),
        }
    }
}

async fn write_until(end: Instant, table: Arc<Table>, batches: Arc<[RecordBatch]>) -> Done {
    let mut done = Done::default();
    for batch in batches.iter().cycle() {
        if done.is_over(end) {
            break;
        }
        let begun = Instant::now();
        let outcome = append(&table, batch).await;
        done.add(begun, outcome);
    }
    done
}

async fn read_until(end: Instant, ctx: SessionContext, sql: String) -> Done {
    let mut done = Done::default();
    while !done.is_over(end) {
        let begun = Instant::now();
        let outcome = read(&ctx, &sql).await;
        done.add(begun, outcome);
    }
    done
}

async fn read(ctx: &SessionContext, sql: &str) -> Result<()> {
    cayenne_datafusion::sql(ctx, sql).await?.collect().await?;
    Ok(())
}
