//! What the writer of a table holds.

use std::collections::HashMap;
use std::sync::Arc;

use cayenne_deletes::RowMap;
use cayenne_format::{Expiry, Sequence, SourcePosition, TableCommit, WriterEpoch};
use cayenne_metastore::History;
use cayenne_storage::FileLock;
use tokio::sync::MappedMutexGuard;

/// What the writer of a table holds. Dropping it lets another process write.
#[derive(Debug)]
pub(crate) struct WriterState {
    pub(crate) epoch: WriterEpoch,
    /// How much history the table has: only its writer gives any up.
    pub(crate) history: History,
    /// The last position of each stream that the table has taken in.
    pub(crate) sources: HashMap<String, u64>,
    /// Where rows went that a rewrite moved, while somebody reads an earlier snapshot: what a statement has found there is
    /// still found after it.
    pub(crate) moved: Vec<(Sequence, Arc<RowMap>)>,
    /// Of rewrites until this commit it is not known where rows went: another process did them, or nobody read what was
    /// before them.
    pub(crate) moved_since: Sequence,
    pub(crate) _lock: FileLock,
}

/// The right to commit, for one commit.
pub(crate) type WriterGuard<'a> = MappedMutexGuard<'a, WriterState>;

impl WriterState {
    /// Says whether a position was taken in before.
    pub(crate) fn has_taken(&self, source: &SourcePosition) -> bool {
        self.sources.get(&source.stream).is_some_and(|last| *last >= source.position)
    }

    /// Notes what a commit has done besides its changes.
    pub(crate) fn note(&mut self, commit: &TableCommit) {
        if let Some(SourcePosition { stream, position }) = commit.source.clone() {
            self.sources.insert(stream, position);
        }
        if let Some(expiry) = &commit.expiry {
            self.note_expiry(expiry);
        }
    }

    /// Notes that rows moved with the commit at `sequence`, and forgets what nobody needs who reads `oldest` or later.
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
