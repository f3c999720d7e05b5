//! The one place that commits: requirement, metastore, swap of the view. Nowhere else is a commit handed over.

use std::sync::Arc;

use cayenne_format::{
    Change, CommitId, Error, NewDataFile, Operation, Requirement, Result, Sequence, Step, TableCommit, WriterEpoch,
};

use crate::{Table, View};

impl Table {
    /// Adds files to the table, in place of all others if `operation` replaces them, as one commit.
    ///
    /// Returns the sequence and the number of rows that are no longer visible. An append of nothing, and the emptying of
    /// an empty table, leave everything as it is.
    pub(crate) async fn publish(&self, operation: Operation, files: Vec<NewDataFile>) -> Result<Published> {
        let writer = self.writer().await?;
        let base = self.view.load_full();
        let replaced = if operation == Operation::Append { 0 } else { base.files().len() };
        if files.is_empty() && replaced == 0 {
            return Ok(Published { sequence: base.sequence(), rows_removed: 0 });
        }
        let commit = self.compose(operation, &base, files, writer.epoch);
        let next = commit.apply(base.snapshot())?;
        let sequence = self.hand_over(&commit).await?;
        if let Err(error) = self.shared.environment.steps.before(Step::SwapView) {
            // The commit is done; an error here could only deny it.
            tracing::warn!(%error, "step refused after the commit");
        }
        if sequence == next.sequence() {
            self.view.store(Arc::new(View::new(next, Arc::clone(self.schema()))));
        } else {
            // The pure function and the metastore disagree, which no writer can bring about; the metastore is right.
            tracing::error!(%sequence, expected = %next.sequence(), "a commit got another sequence than expected");
            self.reload().await?;
        }
        drop(writer);
        let rows_removed = if replaced == 0 { 0 } else { base.snapshot().visible_rows().unwrap_or_default() };
        Ok(Published { sequence, rows_removed })
    }

    fn compose(&self, operation: Operation, base: &View, files: Vec<NewDataFile>, epoch: WriterEpoch) -> TableCommit {
        let mut requires = Vec::new();
        let mut changes = Vec::new();
        if operation != Operation::Append {
            requires.push(Requirement::SnapshotIs(base.sequence()));
            changes.extend(base.files().map(|file| Change::RemoveFile(file.id)));
        }
        changes.extend(files.into_iter().map(|file| Change::AddFile(Box::new(file))));
        TableCommit {
            id: CommitId::draw(self.shared.environment.ids.as_ref()),
            table: self.id(),
            epoch,
            operation,
            made_at: self.shared.environment.clock.now(),
            requires,
            changes,
        }
    }

    async fn hand_over(&self, commit: &TableCommit) -> Result<Sequence> {
        self.shared.environment.steps.before(Step::HandCommit)?;
        match self.shared.metastore.commit(std::slice::from_ref(commit)).await {
            Ok(sequences) => {
                sequences.first().copied().ok_or_else(|| Error::internal("the metastore gave no sequence for a commit"))
            }
            Err(error) if error.stable_code() == "commit-unknown" => self.look_up(commit.id, error).await,
            Err(error) => Err(error.with("table", self.name())),
        }
    }

    /// An answer was lost: the log tells whether the commit was applied.
    async fn look_up(&self, id: CommitId, lost: Error) -> Result<Sequence> {
        let Ok(log) = self.log().await else {
            return Err(lost.with("table", self.name()).with("commit", id));
        };
        match log.iter().rev().find(|record| record.id == id) {
            Some(record) => Ok(record.sequence),
            None => Err(Error::unavailable("the commit is not in the log")
                .code("commit-lost")
                .with("table", self.name())
                .because(lost)),
        }
    }
}

/// What a commit did.
pub(crate) struct Published {
    pub(crate) sequence: Sequence,
    pub(crate) rows_removed: u64,
}
