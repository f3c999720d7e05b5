//! Append, overwrite, truncate: rows become durable files, and one commit makes them part of the table.

use std::sync::Arc;

use cayenne_format::{Location, NewDataFile, Operation, Result, Sequence};
use cayenne_storage::{RowStream, WriteRequest};
use tokio::sync::OwnedRwLockReadGuard;

use crate::create::was_not_applied;
use crate::publish::Published;
use crate::{Table, task};

/// What a write did. It is durable and visible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// The number of rows written.
    pub rows: u64,
    /// The number of rows that were visible before and are no longer.
    pub rows_removed: u64,
    /// The number of data files written.
    pub files: usize,
    /// The sequence of the table after the write.
    pub sequence: Sequence,
}

impl Table {
    /// Adds rows. Each stream keeps its order; all become visible together.
    ///
    /// # Errors
    ///
    /// What a stream returns; `Invalid` for rows that do not fit the schema; `Unavailable` (code `table-locked`) if
    /// another process writes the table; `ResourceLimit` for a full disk or pool. Nothing is changed then.
    pub async fn append(self: &Arc<Self>, rows: Vec<RowStream>) -> Result<Written> {
        self.write(Operation::Append, rows).await
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
        // Becoming the writer first tells of another one before any work is done.
        drop(self.writer().await?);
        let no_commit_yet = Arc::clone(&self.unnamed_files).read_owned().await;
        let request = WriteRequest {
            location: self.record.location.clone(),
            schema: Arc::clone(self.schema()),
            options: self.record.options.clone(),
            rows,
        };
        let files = self.shared.storage.write(request).await?;
        self.publish_files(operation, files, no_commit_yet).await
    }

    async fn publish_files(
        self: &Arc<Self>,
        operation: Operation,
        files: Vec<NewDataFile>,
        no_commit_yet: OwnedRwLockReadGuard<()>,
    ) -> Result<Written> {
        let rows = files.iter().map(|new| new.file.rows).sum();
        let count = files.len();
        let names = names_of(&files);
        let table = Arc::clone(self);
        let commit = async move {
            let published = table.publish(operation, files).await;
            // Held by the task and not by the caller, who may have gone: until here nobody may collect the files.
            drop(no_commit_yet);
            published
        };
        match task::to_the_end(commit).await {
            Ok(Published { sequence, rows_removed }) => Ok(Written { rows, rows_removed, files: count, sequence }),
            Err(error) => {
                if was_not_applied(&error) {
                    let removed = self.shared.storage.remove_files(&self.record.location, &names).await;
                    removed.inspect_err(|error| tracing::warn!(%error, "files of a failed write were left")).ok();
                }
                Err(error)
            }
        }
    }
}

fn names_of(files: &[NewDataFile]) -> Vec<String> {
    let name = |new: &NewDataFile| match &new.file.location {
        Location::Path(name) => Some(name.clone()),
        Location::Inline(_) => None,
    };
    files.iter().filter_map(name).collect()
}
