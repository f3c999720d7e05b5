//! Append, upsert, overwrite and truncate: rows are written to data files, inline if they are few, and one commit adds
//! the files to the table.

use crate::Written;
use std::sync::Arc;

use cayenne_format::{Error, Operation, Result, SourcePosition};
use cayenne_storage::RowStream;

use crate::Table;
use crate::write::together::{TableWrite, write_together};

impl Table {
    /// Appends rows. Each stream keeps its order; all rows become visible together.
    ///
    /// In a table with a primary key, the option `on_conflict` decides about a row whose key exists already: it
    /// replaces the existing row (the default), it is left out, or the append fails.
    ///
    /// # Errors
    ///
    /// What a stream returns; `Invalid` for rows that do not fit the schema; `Unavailable` (code `table-locked`) if
    /// another process writes the table; `ResourceLimit` if the disk or the memory pool is full. On an error, nothing
    /// is changed.
    pub async fn append(self: &Arc<Self>, rows: Vec<RowStream>) -> Result<Written> {
        self.write(Operation::Append, rows).await
    }

    /// Appends the rows of one source position at most once; otherwise as [`append`](Self::append).
    ///
    /// If the table has already committed this position of the stream, or a later one, nothing is changed and the rows
    /// are not read.
    ///
    /// # Errors
    ///
    /// As [`append`](Self::append).
    pub async fn append_from(self: &Arc<Self>, source: SourcePosition, rows: Vec<RowStream>) -> Result<Written> {
        self.write_one(TableWrite::append(self, rows).from_source(source)).await
    }

    /// Adds rows and replaces the rows that have the same keys, whatever the option `on_conflict` says. Of several new
    /// rows with one key, the last one counts; the streams follow one another in their order.
    ///
    /// # Errors
    ///
    /// `Invalid` (code `no-primary-key`) if the table does not detect key conflicts; otherwise as
    /// [`append`](Self::append).
    pub async fn upsert(self: &Arc<Self>, rows: Vec<RowStream>) -> Result<Written> {
        self.write_one(TableWrite::upsert(self, rows)).await
    }

    /// Replaces all rows. Readers see either the old rows or the new rows, never an empty table in between.
    ///
    /// # Errors
    ///
    /// As [`append`](Self::append).
    pub async fn overwrite(self: &Arc<Self>, rows: Vec<RowStream>) -> Result<Written> {
        self.write(Operation::Overwrite, rows).await
    }

    /// Removes all rows.
    ///
    /// # Errors
    ///
    /// As [`append`](Self::append).
    pub async fn truncate(self: &Arc<Self>) -> Result<Written> {
        self.write(Operation::Truncate, Vec::new()).await
    }

    async fn write(self: &Arc<Self>, operation: Operation, rows: Vec<RowStream>) -> Result<Written> {
        self.write_one(TableWrite::new(self, operation, rows)).await
    }

    pub(crate) async fn write_one(&self, write: TableWrite) -> Result<Written> {
        let written = write_together(&self.shared, vec![write]).await?;
        written.into_iter().next().ok_or_else(|| Error::internal("a write has no result"))
    }
}
