//! Cayenne through its SQL interface, as a program would use it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::RecordBatch;
use cayenne_table::Database;
use datafusion::prelude::SessionContext;

use super::{Engine, session};
use crate::Result;

/// An open database and a session whose default catalog it is.
pub(super) struct Cayenne {
    database: Arc<Database>,
    ctx: SessionContext,
}

impl Engine for Cayenne {
    async fn open(dir: PathBuf, threads: usize) -> Result<Self> {
        let database = Database::builder(dir).open().await?;
        let ctx = cayenne_datafusion::session(session::config(threads), session::runtime()?, &database)?;
        Ok(Self { database, ctx })
    }

    async fn load(&self, table: &str, source: &Path) -> Result<()> {
        let from = session::add_source(&self.ctx, table, source).await?;
        let create = format!("CREATE TABLE {table} AS SELECT * FROM {from}");
        cayenne_datafusion::sql(&self.ctx, &create).await?.collect().await?;
        Ok(())
    }

    async fn query(&self, sql: &str) -> Result<Vec<RecordBatch>> {
        Ok(cayenne_datafusion::sql(&self.ctx, sql).await?.collect().await?)
    }

    async fn close(self) -> Result<()> {
        let Self { database, ctx } = self;
        drop(ctx);
        database.close().await?;
        Ok(())
    }
}
