//! Which rows of a data file a view hides: those that deletion files name by position, and those that tombstones name by key.

use std::sync::Arc;

use cayenne_deletes::{DeletionVector, SortedKeys};
use cayenne_format::{
    Change, DataFile, DeletionFile, DeletionSet, FileId, Result, Snapshot, TableCommit, TombstoneFile,
};

use crate::visibility::deletions::damaged;
use crate::{Table, View};

/// Returns the deletion set that identifies what hides rows of a data file.
fn set_of(deletions: Option<DeletionSet>, tombstones: &[Arc<TombstoneFile>]) -> DeletionSet {
    tombstones.iter().fold(deletions.unwrap_or_default(), |set, tombstones| set.with(tombstones.id))
}

impl Table {
    /// Returns which rows of a data file a view hides, or `None` for none.
    ///
    /// # Errors
    ///
    /// `Corrupt` (code `damaged-deletion`) or `NotFound` (code `missing-deletion`) if a deletion file is not what was
    /// written. Such a file is never taken for one that hides nothing.
    pub async fn hidden(&self, view: &View, file: &Arc<DataFile>) -> Result<Option<Arc<DeletionVector>>> {
        let (deletions, tombstones) = (view.snapshot().deletion_set_of(file.id), view.tombstones_for(file));
        let rows = match tombstones {
            [] if deletions.is_none() => return Ok(None),
            [] => self.hidden_by_position(view, file).await?,
            _ => self.hidden_by_key(view, file, tombstones).await?,
        };
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

    /// Returns the number of visible rows in a view. It costs nothing unless rows are hidden by their keys.
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

    /// Returns the rows of a data file that deletion files hide.
    pub(crate) async fn hidden_by_position(&self, view: &View, file: &Arc<DataFile>) -> Result<Arc<DeletionVector>> {
        let (snapshot, cache) = (view.snapshot(), &self.shared.hidden);
        // A scan asks for every data file, and usually finds all of them in the cache.
        let set = set_of(snapshot.deletion_set_of(file.id), &[]);
        if let Some(rows) = cache.rows(file.id, set) {
            return Ok(rows);
        }
        let deletions: Vec<_> = snapshot.deletions_of(file.id).collect();
        let (mut rows, rest) = match (self.known_before(file.id, set, &deletions), deletions.as_slice()) {
            (Some(known), [.., last]) => (known.as_ref().clone(), std::slice::from_ref(last)),
            (_, all) => (DeletionVector::default(), all),
        };
        for deletion in rest {
            rows.add(&self.read_deletion(file, deletion).await?);
        }
        // Each deletion file hides rows that were visible until then.
        let expected = snapshot.hidden_rows_of(file.id);
        if rows.len() == expected {
            return Ok(cache.keep(file.id, set, rows));
        }
        Err(damaged("the deletion files of a data file hide another number of rows than the manifest says")
            .with("table", self.name())
            .with("data_file", file.id)
            .with("expected", expected)
            .with("found", rows.len()))
    }

    /// Returns the cached hidden rows of a data file without those of the last of these deletion files: usually, one
    /// deletion file was added since the previous view. The order of ids follows the clock. If the clock was set back,
    /// nothing is found.
    fn known_before(
        &self,
        file: FileId,
        set: DeletionSet,
        deletions: &[&Arc<DeletionFile>],
    ) -> Option<Arc<DeletionVector>> {
        self.shared.hidden.rows(file, set.without(deletions.last()?.id))
    }

    /// Makes the cached hidden rows available to the next snapshot after a commit that folds deletion files: the same
    /// rows are hidden, so the new deletion file need not be read. Hidden rows that are not cached are not read,
    /// because others wait for the commit.
    pub(crate) async fn hand_on_hidden(&self, base: &View, commit: &TableCommit, next: &Snapshot) -> Result<()> {
        for change in &commit.changes {
            let Change::FoldDeletions { into, .. } = change else { continue };
            let (file, before) = (into.data_file, base.snapshot());
            let (Some(data_file), Some(set)) = (before.file(file), next.deletion_set_of(file)) else { continue };
            let deletions: Vec<_> = before.deletions_of(file).collect();
            let is_known = before.deletion_set_of(file).is_some_and(|set| {
                self.shared.hidden.rows(file, set).is_some() || self.known_before(file, set, &deletions).is_some()
            });
            if is_known && before.hidden_rows_of(file) == next.hidden_rows_of(file) {
                let rows = self.hidden_by_position(base, data_file).await?;
                self.shared.hidden.share(file, set, rows);
            }
        }
        Ok(())
    }

    /// Returns the hidden rows of a data file, some of which are hidden by their keys: tombstones name those keys, and
    /// the key index of the data file has the positions of their rows.
    async fn hidden_by_key(
        &self,
        view: &View,
        file: &Arc<DataFile>,
        tombstones: &[Arc<TombstoneFile>],
    ) -> Result<Arc<DeletionVector>> {
        let (deletions, cache) = (view.snapshot().deletion_set_of(file.id), &self.shared.hidden);
        let set = set_of(deletions, tombstones);
        if let Some(rows) = cache.rows(file.id, set) {
            return Ok(rows);
        }
        let known = tombstones
            .split_last()
            .and_then(|(last, _)| Some((cache.rows(file.id, set.without(last.id))?, std::slice::from_ref(last))));
        let (known, rest) = match known {
            Some(known) => known,
            None => (self.hidden_by_position(view, file).await?, tombstones),
        };
        let mut rows = known.as_ref().clone();
        for tombstones in rest {
            let keys = self.keys_of_tombstones(tombstones).await?;
            rows.add(&self.rows_with_keys(view, file, keys).await?);
        }
        Ok(cache.keep(file.id, set, rows))
    }

    async fn keys_of_tombstones(&self, tombstones: &TombstoneFile) -> Result<Arc<SortedKeys>> {
        let cache = &self.shared.hidden;
        if let Some(keys) = cache.keys(tombstones.id) {
            return Ok(keys);
        }
        let keys = self.codec()?.keys_of_bytes(self.read_tombstones(tombstones).await?.keys())?;
        let keys = Arc::new(SortedKeys::new(keys));
        cache.keep_keys(tombstones.id, Arc::clone(&keys));
        Ok(keys)
    }
}
