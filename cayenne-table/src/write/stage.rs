//! Staged writes: rows become durable first and visible later, published by this process or by the next writer of the
//! table.

use std::fmt;
use std::sync::Arc;

use cayenne_format::{CommitId, Error, Operation, Result, SourcePosition};
use cayenne_storage::RowStream;

use crate::visibility::rows::HiddenRows;
use crate::write::publish::Publication;
use crate::write::replaced::Replaced;
use crate::write::together::{TableWrite, Unnamed, remove};
use crate::write::written::names_of;
use crate::write::written::was_not_applied;
use crate::{Table, Written, task};

/// Rows that are durable but in no snapshot yet.
///
/// If the process ends before they are published, the next writer of the table publishes them.
#[must_use = "staged rows stay invisible until `publish`; call `discard` to drop them"]
pub struct StagedWrite {
    id: CommitId,
    unnamed: Unnamed,
    source: Option<SourcePosition>,
}

impl fmt::Debug for StagedWrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StagedWrite").field("id", &self.id).field("table", &self.unnamed.table).finish_non_exhaustive()
    }
}

impl Table {
    /// Makes rows durable without making them visible.
    ///
    /// # Errors
    ///
    /// As [`append`](Self::append).
    pub async fn stage(self: &Arc<Self>, rows: Vec<RowStream>, source: Option<SourcePosition>) -> Result<StagedWrite> {
        drop(self.writer().await?);
        let no_commit_yet = Arc::clone(&self.unnamed_files).read_owned().await;
        let unnamed = TableWrite::new(self, Operation::Append, rows).into_files(0).await?;
        let id = CommitId::draw(self.shared.environment.ids.as_ref());
        let staged = StagedWrite { id, unnamed, source };
        task::to_the_end(async move {
            let noted = staged.note().await;
            // Held until the metastore knows the files, so that they are not collected.
            drop(no_commit_yet);
            if noted.as_ref().is_err_and(was_not_applied) {
                let files = names_of(&staged.unnamed.files);
                remove(std::iter::once((&staged.unnamed.table, files))).await;
            }
            noted.map(|()| staged)
        })
        .await
    }
}

impl StagedWrite {
    /// Returns the id of the commit that will make the rows visible.
    #[must_use]
    pub fn id(&self) -> CommitId {
        self.id
    }

    async fn note(&self) -> Result<()> {
        let table = &self.unnamed.table;
        let writer = table.writer().await?;
        // Key conflicts are decided when the rows are published.
        let commit = self.publication().compose(&writer, &table.view.load_full(), &HiddenRows::default()).await?;
        let commit = commit.ok_or_else(|| Error::invalid("there are no rows to stage").code("no-rows"))?;
        table.shared.metastore.stage(&commit).await
    }

    fn publication(&self) -> Publication<'_> {
        let Unnamed { table, operation, files, rule, .. } = &self.unnamed;
        Publication {
            table,
            operation: *operation,
            replaced: Replaced::Nothing,
            files: files.clone(),
            found: None,
            rule: *rule,
            deleted: None,
            source: self.source.clone(),
            id: Some(self.id),
        }
    }

    /// Makes the rows visible.
    ///
    /// # Errors
    ///
    /// As [`Table::append`]. On an error, the rows stay staged, unless they were discarded or committed before, or were
    /// refused because of their keys (code `duplicate-key`).
    pub async fn publish(self) -> Result<Written> {
        task::to_the_end(async move {
            let shared = Arc::clone(&self.unnamed.table.shared);
            // The rows that these replace may be hidden by a new deletion file, which must not be collected before the
            // commit names it.
            let _no_commit_yet = Arc::clone(&self.unnamed.table.unnamed_files).read_owned().await;
            let published = shared.publish(vec![self.publication()]).await;
            if published.as_ref().is_err_and(|error| error.stable_code() == "duplicate-key") {
                // The write was refused, so the next writer must not publish it.
                self.forget().await?;
                remove(std::iter::once((&self.unnamed.table, names_of(&self.unnamed.files)))).await;
            }
            let published = published?;
            Table::flush_if_full(&self.unnamed.table);
            Table::look_after(&self.unnamed.table);
            let counts = self.unnamed.counts();
            let published = published.first().ok_or_else(|| Error::internal("a commit has no result"))?;
            if published.is_repeated {
                // The source position was committed before, so the staged commit is of no use. Its files may belong to
                // the table by now: `collect` decides.
                self.forget().await?;
            }
            Ok(counts.with(published).1)
        })
        .await
    }

    /// Discards the rows.
    ///
    /// # Errors
    ///
    /// `Conflict` (code `fenced`) if another process has become the writer: it has published or rejected them.
    pub async fn discard(self) -> Result<()> {
        task::to_the_end(async move {
            self.forget().await?;
            remove(std::iter::once((&self.unnamed.table, names_of(&self.unnamed.files)))).await;
            Ok(())
        })
        .await
    }

    /// Removes the staged commit from the metastore, and leaves the files.
    async fn forget(&self) -> Result<()> {
        let table = &self.unnamed.table;
        let writer = table.writer().await?;
        table.shared.metastore.discard_staged(table.id(), writer.epoch, self.id).await
    }
}
