//! Cayenne's compaction: on demand and in the background, and its counters.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cayenne_format::{TableName, TableOptions};
use cayenne_table::{PassOutcome, Table};

use super::cayenne::{Cayenne, append};
use super::{Clock, refuse, session};
use crate::Result;
use crate::protocol::{Reply, Request};

/// How long a table must have no worthwhile pass until it counts as at rest.
const QUIET: Duration = Duration::from_millis(500);
const POLL: Duration = Duration::from_millis(20);

/// The number of commits that make a table worth compacting.
pub(crate) const COMMITS_WORTH_A_PASS: usize = 8;

impl Cayenne {
    /// Serves the requests about compaction.
    pub(super) async fn serve_upkeep(&self, request: Request) -> Result<Reply> {
        match request {
            Request::Insert { table, source, target_file_mb } => self.insert(&table, &source, target_file_mb).await,
            Request::Compact { table } => {
                let table = self.table(&table).await?;
                let clock = Clock::start();
                let passes = table.compact(None).await?;
                let reply = clock.reply(Reply::default());
                let sum = |of: fn(&cayenne_table::Compacted) -> u64| passes.iter().map(of).sum::<u64>();
                let numbers =
                    [("bytes_read", sum(|pass| pass.bytes_read)), ("bytes_written", sum(|pass| pass.bytes_written))];
                let numbers = numbers.map(|(name, bytes)| (name.to_owned(), as_number(bytes))).into();
                Ok(Reply { rows: sum(|pass| pass.rows), numbers, ..reply })
            }
            Request::Rest { table } => {
                let clock = Clock::start();
                rest(&*self.table(&table).await?).await?;
                Ok(clock.reply(Reply::default()))
            }
            Request::Collect { table } => {
                let clock = Clock::start();
                self.table(&table).await?.flush().await?;
                self.database.collect(true).await?;
                Ok(clock.reply(Reply::default()))
            }
            Request::Metrics => Ok(Reply { numbers: self.numbers().await, ..Reply::default() }),
            Request::Fairness { large, tables } => self.fairness(&large, tables).await,
            other => refuse(&other),
        }
    }

    /// Adds the rows of a Parquet file to a table, and creates the table first if it does not exist.
    async fn insert(&self, table: &str, source: &Path, target_file_mb: Option<NonZeroU64>) -> Result<Reply> {
        let from = session::add_source(&self.ctx, table, source).await?;
        let name = TableName::try_from(table)?;
        if self.database.table(&name).await?.is_none() {
            let schema = self.ctx.table(from.as_str()).await?.schema().as_arrow().clone();
            let defaults = TableOptions::default();
            let target_file_size_mb = target_file_mb.unwrap_or(defaults.target_file_size_mb);
            self.database.create_table(&name, &schema, TableOptions { target_file_size_mb, ..defaults }).await?;
        }
        let clock = Clock::start();
        self.run(&format!("INSERT INTO {table} SELECT * FROM {from}")).await?;
        Ok(clock.reply(Reply::default()))
    }

    /// Returns the metrics, summed over all tables, by name and kind.
    async fn numbers(&self) -> BTreeMap<String, f64> {
        let mut numbers = BTreeMap::new();
        for metric in self.database.metrics().await {
            let kind = metric.labels.iter().find(|(label, _)| *label == "kind");
            let name = kind.map_or_else(|| metric.name.clone(), |(_, kind)| format!("{}/{kind}", metric.name));
            *numbers.entry(name).or_default() += metric.value;
        }
        numbers
    }

    /// Makes a large table worth a pass, and then the others one after the other. Returns how long after its last
    /// commit each of the others was compacted, and how many of them were compacted before the large one.
    async fn fairness(&self, large: &str, tables: usize) -> Result<Reply> {
        let rows = self.prepared.commits(COMMITS_WORTH_A_PASS)?;
        let schema = rows.first().ok_or("no rows are prepared")?.schema();
        let mut others = Vec::with_capacity(tables);
        for number in 0..tables {
            let name = TableName::try_from(format!("small_{number}").as_str())?;
            let options = TableOptions { inline: cayenne_format::InlineOptions::OFF, ..TableOptions::default() };
            others.push(self.database.create_table(&name, &schema, options).await?);
        }
        // The first write of a process starts the background maintenance of a table.
        self.run(&format!("INSERT INTO {large} SELECT * FROM {large} LIMIT 1")).await?;
        let large = self.table(large).await?;
        let clock = Clock::start();
        let mut written = Vec::with_capacity(tables);
        for table in &others {
            for batch in rows.iter().take(COMMITS_WORTH_A_PASS) {
                append(table, batch).await?;
            }
            written.push(Instant::now());
        }
        let (mut lap_ms, mut beside) = (vec![None; tables], 0_u64);
        while lap_ms.iter().any(Option::is_none) {
            tokio::time::sleep(POLL).await;
            let is_beside = !is_compacted(&large);
            for ((lap, table), written) in lap_ms.iter_mut().zip(&others).zip(&written) {
                if lap.is_none() && is_compacted(table) {
                    *lap = Some(written.elapsed().as_secs_f64() * 1e3);
                    beside += u64::from(is_beside);
                }
            }
        }
        let reply = clock.reply(Reply::default());
        Ok(Reply { rows: beside, lap_ms: lap_ms.into_iter().flatten().collect(), ..reply })
    }
}

fn is_compacted(table: &Table) -> bool {
    table.passes().iter().any(|pass| pass.outcome == PassOutcome::Committed)
}

/// Waits until no pass on the table is worthwhile any more.
async fn rest(table: &Table) -> Result<()> {
    let mut quiet_since = Instant::now();
    while quiet_since.elapsed() < QUIET {
        tokio::time::sleep(POLL).await;
        if table.compaction_plan().await?.next.is_some() {
            quiet_since = Instant::now();
        }
    }
    Ok(())
}

/// Returns how many data files a scan of the table opens now.
pub(super) async fn stored_files(table: &Arc<Table>) -> Result<u64> {
    Ok(table.view().await?.read_amplification().files)
}

#[expect(clippy::cast_precision_loss, reason = "nothing here has nine petabytes")]
fn as_number(bytes: u64) -> f64 {
    bytes as f64
}
