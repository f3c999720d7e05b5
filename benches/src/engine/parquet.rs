//! DataFusion over Parquet files that it wrote itself, with its default writer settings.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::RecordBatch;
use datafusion::prelude::{ParquetReadOptions, SessionContext};

use super::{Engine, Limits, refuse, session};
use crate::protocol::{Reply, Request};
use crate::{Result, folders};

/// A session with one external table for each Parquet file of the folder.
pub(super) struct Parquet {
    dir: PathBuf,
    ctx: SessionContext,
}

impl Engine for Parquet {
    fn version() -> String {
        env!("CARGO_PKG_VERSION").to_owned()
    }

    async fn open(dir: PathBuf, limits: Limits) -> Result<Self> {
        let ctx = SessionContext::new_with_config_rt(session::config(limits.threads), session::runtime()?);
        let engine = Self { dir, ctx };
        for table in engine.tables()? {
            engine.register(&table).await?;
        }
        Ok(engine)
    }

    /// Stock DataFusion returns before the bytes are on disk. The syncs make this load as durable as the others.
    async fn load(&self, table: &str, source: &Path, key: Option<&str>) -> Result<()> {
        if key.is_some() {
            return Err("a Parquet file has no primary key".into());
        }
        let from = session::add_source(&self.ctx, table, source).await?;
        let path = self.file(table);
        let target = path.to_str().ok_or("a path of a table is not UTF-8")?.replace('\'', "''");
        let copy = format!("COPY (SELECT * FROM {from}) TO '{target}' STORED AS PARQUET");
        self.ctx.sql(&copy).await?.collect().await?;
        folders::sync_new_file(&path)?;
        self.register(table).await
    }

    async fn query(&self, sql: &str) -> Result<Vec<RecordBatch>> {
        Ok(self.ctx.sql(sql).await?.collect().await?)
    }

    async fn serve(self: Arc<Self>, request: Request) -> Result<Reply> {
        refuse(&request)
    }

    async fn close(self) -> Result<()> {
        Ok(())
    }
}

impl Parquet {
    fn file(&self, table: &str) -> PathBuf {
        self.dir.join(format!("{table}.parquet"))
    }

    fn tables(&self) -> Result<Vec<String>> {
        let mut tables = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            let name = path.file_stem().and_then(|stem| stem.to_str());
            tables.extend(name.map(str::to_owned));
        }
        Ok(tables)
    }

    async fn register(&self, table: &str) -> Result<()> {
        let path = self.file(table);
        let path = path.to_str().ok_or("a path of a table is not UTF-8")?;
        self.ctx.register_parquet(table, path, ParquetReadOptions::default()).await?;
        Ok(())
    }
}
