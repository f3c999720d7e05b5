//! Cayenne through its SQL interface, as a program uses it. Appends use its table API directly.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::RecordBatch;
use cayenne_format::TableName;
use cayenne_table::{Database, Table};
use datafusion::execution::memory_pool::GreedyMemoryPool;
use datafusion::physical_plan::displayable;
use datafusion::prelude::SessionContext;
use futures::StreamExt as _;
use futures::future::try_join_all;
use futures::stream;
use tokio::sync::Barrier;

use super::cayenne_upkeep::stored_files;
use super::prepared::{LapClock, Prepared};
use super::{Clock, Engine, Limits, cayenne_rows, fabricate, session};
use crate::Result;
use crate::protocol::{Reply, Request};

/// An open database, and a session with it as the default catalog.
pub(super) struct Cayenne {
    pub(super) database: Arc<Database>,
    pub(super) ctx: SessionContext,
    pub(super) prepared: Prepared,
}

impl Engine for Cayenne {
    fn version() -> String {
        env!("CARGO_PKG_VERSION").to_owned()
    }

    async fn open(dir: PathBuf, limits: Limits) -> Result<Self> {
        let mut builder = Database::builder(dir).settings(cayenne_rows::settings(limits));
        if let Some(bytes) = limits.settings.compaction_bytes {
            builder = builder.compaction_memory(Arc::new(GreedyMemoryPool::new(usize::try_from(bytes)?)));
        }
        let database = builder.open().await?;
        let ctx = cayenne_datafusion::session(session::config(limits.threads), session::runtime()?, &database)?;
        Ok(Self { database, ctx, prepared: Prepared::default() })
    }

    async fn load(&self, table: &str, source: &Path, key: Option<&str>) -> Result<()> {
        if let Some(key) = key {
            return self.load_with_key(table, source, key).await;
        }
        let from = session::add_source(&self.ctx, table, source).await?;
        let create = format!("CREATE TABLE {table} AS SELECT * FROM {from}");
        self.run(&create).await?;
        Ok(())
    }

    async fn query(&self, sql: &str) -> Result<Vec<RecordBatch>> {
        self.run(sql).await
    }

    async fn serve(self: Arc<Self>, request: Request) -> Result<Reply> {
        match request {
            Request::Prepare { source, rows_per_commit, tables, key } => {
                let clock = Clock::start();
                let schema = self.prepared.fill(&source, rows_per_commit)?;
                for table in tables {
                    let options = cayenne_rows::options(key.as_deref());
                    self.database.create_table(&TableName::try_from(table.as_str())?, &schema, options).await?;
                }
                Ok(clock.reply(Reply::default()))
            }
            Request::Append { table, commits } => self.append(&table, commits).await,
            Request::AppendAtOnce { tables, commits } => self.append_at_once(&tables, commits).await,
            Request::Fabricate { tables, files } => {
                let clock = Clock::start();
                fabricate::fabricate(&self.database, &tables, files).await?;
                Ok(clock.reply(Reply::default()))
            }
            Request::OpenTables => self.open_tables().await,
            Request::Plan { sql } => self.plan(&sql).await,
            other => self.serve_rows(other).await,
        }
    }

    async fn close(self) -> Result<()> {
        let Self { database, ctx, prepared } = self;
        drop((ctx, prepared));
        database.close().await?;
        Ok(())
    }
}

impl Cayenne {
    async fn append(&self, table: &str, commits: usize) -> Result<Reply> {
        let prepared = self.prepared.commits(commits)?;
        let table = self.table(table).await?;
        let clock = Clock::start();
        let (mut files, mut laps) = (0, LapClock::start(commits));
        for batch in prepared.iter().take(commits) {
            append(&table, batch).await?;
            laps.lap();
            files = files.max(stored_files(&table).await?);
        }
        Ok(clock.reply(Reply { lap_ms: laps.lap_ms, files: Some(files), ..Reply::default() }))
    }

    /// Each writer makes one commit first, so that all have become the writers of their tables when the clock starts.
    async fn append_at_once(&self, tables: &[String], commits: usize) -> Result<Reply> {
        let prepared = self.prepared.commits(commits + 1)?;
        let ready = Arc::new(Barrier::new(tables.len() + 1));
        let mut writers = Vec::new();
        for table in tables {
            let (table, prepared, ready) = (self.table(table).await?, Arc::clone(&prepared), Arc::clone(&ready));
            writers.push(tokio::spawn(async move {
                let mut batches = prepared.iter().take(commits + 1);
                // A writer that failed must reach the barrier too, or the others would wait forever.
                let first = match batches.next() {
                    Some(batch) => append(&table, batch).await,
                    None => Ok(()),
                };
                ready.wait().await;
                ready.wait().await;
                first?;
                for batch in batches {
                    append(&table, batch).await?;
                }
                Result::Ok(())
            }));
        }
        // No writer continues before the clock has started.
        ready.wait().await;
        let clock = Clock::start();
        ready.wait().await;
        let ended: Vec<Result<()>> = try_join_all(writers).await?;
        ended.into_iter().collect::<Result<()>>()?;
        Ok(clock.reply(Reply::default()))
    }

    async fn open_tables(&self) -> Result<Reply> {
        let clock = Clock::start();
        let records = self.database.tables().await?;
        for record in &records {
            self.database.table(&record.name).await?.ok_or("a listed table is not there")?;
        }
        Ok(clock.reply(Reply::default()))
    }

    async fn plan(&self, sql: &str) -> Result<Reply> {
        let clock = Clock::start();
        let plan = cayenne_datafusion::sql(&self.ctx, sql).await?.create_physical_plan().await?;
        let reply = clock.reply(Reply::default());
        let files = files_of(&displayable(plan.as_ref()).indent(false).to_string());
        Ok(Reply { files, ..reply })
    }

    pub(super) async fn table(&self, name: &str) -> Result<Arc<Table>> {
        let table = self.database.table(&TableName::try_from(name)?).await?;
        Ok(table.ok_or_else(|| format!("there is no table `{name}`"))?)
    }
}

pub(super) async fn append(table: &Arc<Table>, batch: &RecordBatch) -> Result<()> {
    table.append(vec![stream::iter([Ok(batch.clone())]).boxed()]).await?;
    Ok(())
}

/// Returns how many files a plan reads, from `files=<read>/<all>` of its scan.
fn files_of(plan: &str) -> Option<u64> {
    let (_, rest) = plan.split_once("files=")?;
    let (kept, _) = rest.split_once('/')?;
    kept.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_from_the_plan() {
        assert_eq!(files_of("DataSourceExec: table=t, sequence=3, files=2/100, x"), Some(2));
        assert_eq!(files_of("EmptyExec"), None);
    }
}
