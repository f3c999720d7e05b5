//! Recovers staged commits that an earlier writer has left: whole ones are published, all others are rejected and
//! reported.

use crate::Recovery;
use crate::RejectedCommit;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use cayenne_format::{Change, Error, Location, NewDataFile, Result, Step, TableCommit, WriterEpoch, path};

use crate::keys::KeyRule;
use crate::visibility::rows::HiddenRows;
use crate::{Table, View};

impl Table {
    /// Returns the outcome of recovery for the staged commits that were found when this process became the writer of
    /// the table.
    #[must_use]
    pub fn recovery(&self) -> Recovery {
        self.recovery.lock().clone()
    }

    /// Publishes or rejects every staged commit. It can be broken off anywhere and run again, with the same result.
    pub(crate) async fn recover_staged(&self, epoch: WriterEpoch) -> Result<()> {
        let mut recovery = Recovery::default();
        for staged in self.shared.metastore.load_staged(self.id()).await? {
            let adopted = match staged.commit {
                Ok(commit) => self.adopt(TableCommit { epoch, ..commit }).await,
                Err(error) => Err(error),
            };
            match adopted {
                Ok(()) => recovery.adopted.push(staged.id),
                Err(error) if is_final(&error) => {
                    self.shared.metastore.discard_staged(self.id(), epoch, staged.id).await?;
                    tracing::warn!(%error, table = %self.name(), commit = %staged.id, "a staged commit was rejected");
                    recovery.rejected.push(RejectedCommit { commit: staged.id, error });
                }
                Err(error) => return Err(error),
            }
        }
        if !recovery.adopted.is_empty() {
            self.has_changed.store(true, Ordering::Release);
            tracing::info!(table = %self.name(), adopted = recovery.adopted.len(), "staged commits were published");
        }
        *self.recovery.lock() = recovery;
        Ok(())
    }

    async fn adopt(&self, mut commit: TableCommit) -> Result<()> {
        for change in &commit.changes {
            if let Some(new) = added(change) {
                self.shared.storage.verify(&self.record.location, &new.file).await?;
            }
        }
        commit.changes.extend(self.hidden_by_staged(&commit).await?);
        self.shared.environment.steps.before(Step::HandCommit)?;
        self.shared.metastore.commit(&[commit]).await.map(|_| ())
    }

    /// Returns the changes that hide rows because of key conflicts with a staged commit. Its writer has left these
    /// conflicts to be decided when the commit is published.
    async fn hidden_by_staged(&self, commit: &TableCommit) -> Result<Vec<Change>> {
        let files: Vec<NewDataFile> = commit.changes.iter().filter_map(added).cloned().collect();
        let snapshot = self.shared.metastore.load_snapshot(self.id(), None).await?;
        let base = View::new(snapshot, Arc::clone(self.schema()));
        let mut hidden = HiddenRows::default();
        self.meet(&base, &files, KeyRule::of(self.options(), commit.operation), &mut hidden).await?;
        let mut changes = self.hide(&base, &hidden.of_others).await?;
        changes.extend(self.hide_by_position(&hidden.of_new).await?);
        Ok(changes)
    }

    /// Returns the names of the objects that staged commits name, and of the key indexes beside them.
    pub(crate) async fn staged_names(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for staged in self.shared.metastore.load_staged(self.id()).await? {
            // A staged commit that cannot be read names no file that could still be published.
            let changes = staged.commit.map(|commit| commit.changes).unwrap_or_default();
            for new in changes.iter().filter_map(added) {
                if let Location::Path(name) = &new.file.location {
                    names.extend([name.clone(), path::key_index(new.file.id)]);
                }
            }
        }
        Ok(names)
    }
}

fn added(change: &Change) -> Option<&NewDataFile> {
    match change {
        Change::AddFile(new) => Some(new),
        _ => None,
    }
}

/// Returns whether the problem of a staged commit is permanent: it is damaged, incomplete, or contradicts the table.
fn is_final(error: &Error) -> bool {
    use cayenne_format::ErrorKind::{AlreadyExists, Conflict, Corrupt, Invalid, NotFound, Unsupported};
    matches!(error.kind(), AlreadyExists | Corrupt | NotFound | Invalid | Unsupported)
        || (error.kind() == Conflict && error.stable_code() != "fenced")
}
