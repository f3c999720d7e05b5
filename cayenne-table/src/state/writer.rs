//! The state of the writer of a table.

use std::collections::HashMap;
use std::sync::Arc;

use cayenne_deletes::RowMap;
use cayenne_format::{Expiry, Sequence, SourcePosition, TableCommit, WriterEpoch};
use cayenne_metastore::History;
use cayenne_storage::FileLock;
use tokio::sync::MappedMutexGuard;

/// The state of the writer of a table. Dropping it releases the lock, so that another process may write.
#[derive(Debug)]
pub(crate) struct WriterState {
    pub(crate) epoch: WriterEpoch,
    /// The history that the table has. Only its writer expires snapshots.
    pub(crate) history: History,
    /// The last position of each stream that the table has committed.
    pub(crate) sources: HashMap<String, u64>,
    /// The row maps of rewrites, kept while an earlier snapshot is read: a statement can still find the rows that it
    /// has found there.
    pub(crate) moved: Vec<(Sequence, Arc<RowMap>)>,
    /// The row maps of rewrites up to this commit are not known: another process has done the rewrites, or there was no
    /// reader that needed the row maps.
    pub(crate) moved_since: Sequence,
    pub(crate) _lock: FileLock,
}

/// The right to commit, for one commit.
pub(crate) type WriterGuard<'a> = MappedMutexGuard<'a, WriterState>;

impl WriterState {
    /// Returns whether the table has committed this position of the stream, or a later one.
    pub(crate) fn has_taken(&self, source: &SourcePosition) -> bool {
        self.sources.get(&source.stream).is_some_and(|last| *last >= source.position)
    }

    /// Notes the source position and the expiry of a commit.
    pub(crate) fn note(&mut self, commit: &TableCommit) {
        if let Some(SourcePosition { stream, position }) = commit.source.clone() {
            self.sources.insert(stream, position);
        }
        if let Some(expiry) = &commit.expiry {
            self.note_expiry(expiry);
        }
    }

    /// Notes the row map of the commit at `sequence`, and forgets the row maps that readers of `oldest` or later do not
    /// need.
    pub(crate) fn note_moved(&mut self, sequence: Sequence, map: Arc<RowMap>, oldest: Option<Sequence>) {
        self.moved.retain(|(at, _)| {
            let is_needed = oldest.is_some_and(|oldest| *at > oldest);
            if !is_needed {
                self.moved_since = self.moved_since.max(*at);
            }
            is_needed
        });
        self.moved.push((sequence, map));
    }

    pub(crate) fn note_expiry(&mut self, expiry: &Expiry) {
        self.history.kept_from = self.history.kept_from.max(expiry.keep_from);
        self.history.known_from = self.history.known_from.max(expiry.forget_before);
    }
}
