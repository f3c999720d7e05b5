//! Append, upsert, overwrite, truncate: rows become data files, few of them inline, and one commit makes them part of the table.

use crate::Written;
use std::sync::Arc;

use cayenne_format::{Error, Operation, Result, SourcePosition};
use cayenne_storage::RowStream;

use crate::Table;
use crate::write::together::{TableWrite, write_together};

impl Table {
    /// Adds rows. Each stream keeps its order; all become visible together.
    ///
    /// In a table with a primary key, `on_conflict` says what becomes of a row whose key exists: it takes the place of the
    /// other (the default), it is left out, or nothing is written at all.
    ///
    /// # Errors
    ///
    /// What a stream returns; `Invalid` for rows that do not fit the schema; `Unavailable` (code `table-locked`) if
    /// another process writes the table; `ResourceLimit` for a full disk or pool. Nothing is changed then.
    pub async fn append(self: &Arc<Self>, rows: Vec<RowStream>) -> Result<Written> {
        self.write(Operation::Append, rows).await
    }

    /// Adds rows that are one position of a stream; as [`append`](Self::append), but once only.
    ///
    /// A position that the table has taken in before, or an earlier one, changes nothing, and the rows are not read.
    ///
    /// # Errors
    ///
    /// As [`append`](Self::append).
    pub async fn append_from(self: &Arc<Self>, source: SourcePosition, rows: Vec<RowStream>) -> Result<Written> {
        self.write_one(TableWrite::append(self, rows).from_source(source)).await
    }

    /// Adds rows, in place of those that have their keys, whatever the options of the table say of key conflicts. Of several
    /// rows with one key the last counts: streams follow one another in their order.
    ///
    /// # Errors
    ///
    /// `Invalid` (code `no-primary-key`) if the table does not detect key conflicts; else as [`append`](Self::append).
    pub async fn upsert(self: &Arc<Self>, rows: Vec<RowStream>) -> Result<Written> {
        self.write_one(TableWrite::upsert(self, rows)).await
    }

    /// Replaces all rows. Readers see the old ones or the new ones, never none in between.
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
