//! A cache of hidden rows, within one memory limit for all tables of a database.

use std::sync::Arc;

use cayenne_deletes::{DeletionVector, SortedKeys};
use cayenne_format::{DeletionSet, FileId};
use moka::policy::EvictionPolicy;
use moka::sync::Cache;

/// Caches the hidden rows that were needed recently.
#[derive(Debug)]
pub(crate) struct HiddenCache(Cache<Piece, Cached>);

/// The key of a cache entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Piece {
    /// The hidden rows of a data file, by what hides them.
    Rows(FileId, DeletionSet),
    /// The keys of a tombstone file.
    Keys(FileId),
}

#[derive(Clone, Debug)]
enum Cached {
    Rows(Arc<DeletionVector>),
    Keys(Arc<SortedKeys>),
}

impl HiddenCache {
    pub(crate) fn new(bytes_max: u64) -> Self {
        let weigh = |_: &Piece, cached: &Cached| {
            let bytes = match cached {
                Cached::Rows(rows) => rows.memory_bytes(),
                Cached::Keys(keys) => keys.memory_bytes(),
            };
            u32::try_from(bytes.saturating_add(128)).unwrap_or(u32::MAX)
        };
        // The next commit needs the newest entries, and hardly ever the entries that they replaced. A full cache that
        // kept the entries that are asked for most often would make every commit read all deletion files again.
        let cache = Cache::builder().name("cayenne.deletions").eviction_policy(EvictionPolicy::lru());
        Self(cache.max_capacity(bytes_max).weigher(weigh).build())
    }

    /// Returns how much memory it takes, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.0.run_pending_tasks();
        self.0.weighted_size()
    }

    pub(crate) fn rows(&self, file: FileId, set: DeletionSet) -> Option<Arc<DeletionVector>> {
        match self.0.get(&Piece::Rows(file, set))? {
            Cached::Rows(rows) => Some(rows),
            Cached::Keys(_) => None,
        }
    }

    pub(crate) fn keys(&self, tombstones: FileId) -> Option<Arc<SortedKeys>> {
        match self.0.get(&Piece::Keys(tombstones))? {
            Cached::Keys(keys) => Some(keys),
            Cached::Rows(_) => None,
        }
    }

    pub(crate) fn keep(&self, file: FileId, set: DeletionSet, rows: DeletionVector) -> Arc<DeletionVector> {
        let rows = Arc::new(rows);
        self.share(file, set, Arc::clone(&rows));
        rows
    }

    pub(crate) fn share(&self, file: FileId, set: DeletionSet, rows: Arc<DeletionVector>) {
        self.0.insert(Piece::Rows(file, set), Cached::Rows(rows));
    }

    pub(crate) fn keep_keys(&self, tombstones: FileId, keys: Arc<SortedKeys>) {
        self.0.insert(Piece::Keys(tombstones), Cached::Keys(keys));
    }
}
