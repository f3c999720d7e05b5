//! Which rows of a data file a view hides: those that deletion files name by position, and those that tombstones name by key.

use std::sync::Arc;

use cayenne_deletes::{DeletionVector, SortedKeys};
use cayenne_format::{ContentHash, DataFile, DeletionFile, FileId, Result, TombstoneFile};
use moka::sync::Cache;

use crate::deletions::damaged;
use crate::{Table, View};

/// What is known of hidden rows, as far as it was needed lately.
#[derive(Debug)]
pub(crate) struct HiddenCache(Cache<Piece, Cached>);

/// What is cached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Piece {
    /// The hidden rows of a data file, by a hash of the ids of what hides them. The order of ids tells nothing here: it
    /// follows the clock, which may have been set back.
    Rows(FileId, ContentHash),
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
        Self(Cache::builder().name("cayenne.deletions").max_capacity(bytes_max).weigher(weigh).build())
    }

    /// Returns how much memory it takes, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.0.run_pending_tasks();
        self.0.weighted_size()
    }

    fn rows(&self, piece: Piece) -> Option<Arc<DeletionVector>> {
        match self.0.get(&piece)? {
            Cached::Rows(rows) => Some(rows),
            Cached::Keys(_) => None,
        }
    }

    fn keys(&self, tombstones: FileId) -> Option<Arc<SortedKeys>> {
        match self.0.get(&Piece::Keys(tombstones))? {
            Cached::Keys(keys) => Some(keys),
            Cached::Rows(_) => None,
        }
    }

    fn keep(&self, piece: Piece, rows: DeletionVector) -> Arc<DeletionVector> {
        let rows = Arc::new(rows);
        self.0.insert(piece, Cached::Rows(Arc::clone(&rows)));
        rows
    }
}

/// What hides rows of one data file, earliest first.
#[derive(Clone, Copy)]
struct Hiding<'a> {
    file: &'a Arc<DataFile>,
    deletions: &'a [&'a Arc<DeletionFile>],
    tombstones: &'a [Arc<TombstoneFile>],
}

impl Hiding<'_> {
    fn is_nothing(&self) -> bool {
        self.deletions.is_empty() && self.tombstones.is_empty()
    }

    fn piece(&self) -> Piece {
        let ids = self.deletions.iter().map(|deletion| deletion.id).chain(self.tombstones.iter().map(|keys| keys.id));
        let ids: Vec<u8> = ids.flat_map(|id| *id.as_bytes()).collect();
        Piece::Rows(self.file.id, ContentHash::of(&ids))
    }
}

impl Table {
    /// Returns which rows of a data file a view hides, or `None` for none.
    ///
    /// # Errors
    ///
    /// `Corrupt` (code `damaged-deletion`) or `NotFound` (code `missing-deletion`) if a deletion file is not what was
    /// written: it never counts as nothing hidden.
    pub async fn hidden(&self, view: &View, file: &Arc<DataFile>) -> Result<Option<Arc<DeletionVector>>> {
        let deletions: Vec<_> = view.snapshot().deletions_of(file.id).collect();
        let hiding = Hiding { file, deletions: &deletions, tombstones: view.tombstones_for(file) };
        if hiding.is_nothing() {
            return Ok(None);
        }
        if let Some(rows) = self.shared.hidden.rows(hiding.piece()) {
            return Ok(Some(rows).filter(|rows| !rows.is_empty()));
        }
        let rows = match hiding.tombstones {
            [] => self.read_deletions(view, hiding).await?,
            _ => self.find_tombstones(view, hiding).await?,
        };
        let rows = self.shared.hidden.keep(hiding.piece(), rows);
        Ok(Some(rows).filter(|rows| !rows.is_empty()))
    }

    /// Returns how many rows of a data file a view hides.
    ///
    /// # Errors
    ///
    /// As [`hidden`](Self::hidden).
    pub async fn hidden_rows_of(&self, view: &View, file: &Arc<DataFile>) -> Result<u64> {
        if view.tombstones_for(file).is_empty() {
            return Ok(view.snapshot().hidden_rows_of(file.id));
        }
        Ok(self.hidden(view, file).await?.map_or(0, |hidden| hidden.len()))
    }

    /// Returns how many rows a view shows. It costs nothing unless rows are hidden by their keys.
    ///
    /// # Errors
    ///
    /// As [`hidden`](Self::hidden).
    pub async fn visible_rows(&self, view: &View) -> Result<u64> {
        if let Some(rows) = view.snapshot().visible_rows() {
            return Ok(rows);
        }
        let mut rows: u64 = 0;
        for file in view.files() {
            rows = rows.saturating_add(file.rows.saturating_sub(self.hidden_rows_of(view, file).await?));
        }
        Ok(rows)
    }

    /// Returns which rows of a data file deletion files hide.
    pub(crate) async fn hidden_by_position(&self, view: &View, file: &Arc<DataFile>) -> Result<Arc<DeletionVector>> {
        let deletions: Vec<_> = view.snapshot().deletions_of(file.id).collect();
        let hiding = Hiding { file, deletions: &deletions, tombstones: &[] };
        match self.shared.hidden.rows(hiding.piece()) {
            Some(rows) => Ok(rows),
            None => Ok(self.shared.hidden.keep(hiding.piece(), self.read_deletions(view, hiding).await?)),
        }
    }

    async fn read_deletions(&self, view: &View, hiding: Hiding<'_>) -> Result<DeletionVector> {
        let Hiding { file, deletions, .. } = hiding;
        // Usually one has come to those of the view before.
        let known = deletions.split_last().and_then(|(last, others)| {
            let before = Hiding { deletions: others, ..hiding };
            Some((self.shared.hidden.rows(before.piece())?, std::slice::from_ref(last)))
        });
        let (mut rows, rest) = match known {
            Some((known, rest)) => (known.as_ref().clone(), rest),
            None => (DeletionVector::default(), deletions),
        };
        for deletion in rest {
            rows.add(&self.read_deletion(file, deletion).await?);
        }
        // Each deletion file hides rows that were visible until then.
        let expected = view.snapshot().hidden_rows_of(file.id);
        if rows.len() == expected {
            return Ok(rows);
        }
        Err(damaged("the deletion files of a data file hide another number of rows than the manifest says")
            .with("table", self.name())
            .with("data_file", file.id)
            .with("expected", expected)
            .with("found", rows.len()))
    }

    /// Tombstones name keys, and the key index of the data file says where they are.
    async fn find_tombstones(&self, view: &View, hiding: Hiding<'_>) -> Result<DeletionVector> {
        let known = hiding.tombstones.split_last().and_then(|(last, others)| {
            let before = Hiding { tombstones: others, ..hiding };
            Some((self.shared.hidden.rows(before.piece())?, std::slice::from_ref(last)))
        });
        let (mut rows, rest) = match known {
            Some((known, rest)) => (known.as_ref().clone(), rest),
            None => (self.hidden_by_position(view, hiding.file).await?.as_ref().clone(), hiding.tombstones),
        };
        for tombstones in rest {
            let keys = self.keys_of_tombstones(tombstones).await?;
            rows.add(&self.rows_with_keys(view, hiding.file, keys).await?);
        }
        Ok(rows)
    }

    async fn keys_of_tombstones(&self, tombstones: &TombstoneFile) -> Result<Arc<SortedKeys>> {
        let cache = &self.shared.hidden;
        if let Some(keys) = cache.keys(tombstones.id) {
            return Ok(keys);
        }
        let keys = self.codec()?.keys_of_bytes(self.read_tombstones(tombstones).await?.keys())?;
        let keys = Arc::new(SortedKeys::new(keys));
        cache.0.insert(Piece::Keys(tombstones.id), Cached::Keys(Arc::clone(&keys)));
        Ok(keys)
    }
}
