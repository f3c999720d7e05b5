//! Reads tombstone files, adds them to commits, and removes them.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_select::concat::concat;
use bytes::Bytes;
use cayenne_deletes::Tombstones;
use cayenne_format::{
    Change, DataFile, DeletionMode, Error, ErrorKind, FileId, Result, Sequence, Snapshot, TombstoneFile,
};

use crate::visibility::deletions::damaged;
use crate::visibility::rows::RowPositions;
use crate::{Table, View};

/// Number of tombstone files from which a flush turns them into deletion vectors, whether or not there are inline rows.
/// Every older data file is searched for the keys of each tombstone file when it is first read.
const TOMBSTONES_MAX: usize = 64;

/// Returns whether a table has so many tombstone files that a flush is to turn them into deletion vectors.
pub(crate) fn has_many_tombstones(snapshot: &Snapshot) -> bool {
    snapshot.tombstones().len() >= TOMBSTONES_MAX
}

impl Table {
    /// Returns the tombstones that a tombstone file holds.
    ///
    /// # Errors
    ///
    /// `Corrupt` (code `damaged-deletion`) or `NotFound` (code `missing-deletion`) if it is not what was written.
    pub(crate) async fn read_tombstones(&self, file: &TombstoneFile) -> Result<Tombstones> {
        let facts = |error: Error| error.with("table", self.name()).with("tombstones", file.id);
        let bytes = self.hidden_bytes(&file.location).await.map_err(facts)?;
        self.decode_tombstones(file, &bytes).map_err(facts)
    }

    /// Reads the bytes of a tombstone file.
    pub(crate) fn decode_tombstones(&self, file: &TombstoneFile, bytes: &Bytes) -> Result<Tombstones> {
        let tombstones = Tombstones::decode(bytes, self.codec()?).map_err(|error| match error.kind() {
            ErrorKind::Corrupt => error.code("damaged-deletion"),
            _ => error,
        })?;
        if tombstones.len() as u64 == file.keys {
            return Ok(tombstones);
        }
        Err(damaged("a tombstone file has another number of keys than the manifest says"))
    }

    /// Returns the changes that hide visible rows of a view, in the deletion mode of the table. The files that the
    /// changes name are on the disk.
    pub(crate) async fn hide(&self, base: &View, rows: &RowPositions) -> Result<Vec<Change>> {
        if self.options().deletion_mode.in_force() == DeletionMode::Position || rows.is_empty() {
            return self.hide_by_position(rows).await;
        }
        let tombstones = Tombstones::new(self.codec()?, &self.keys_at(base, rows).await?)?;
        let id = FileId::draw(self.shared.environment.ids.as_ref());
        let location = self.store_hidden(id, tombstones.encode()).await?;
        let file = TombstoneFile { id, location, keys: tombstones.len() as u64, sequence: Sequence::ZERO };
        Ok(vec![Change::AddTombstones(file)])
    }

    /// Returns the key columns of rows.
    async fn keys_at(&self, base: &View, rows: &RowPositions) -> Result<Vec<ArrayRef>> {
        let columns = self.codec()?.columns();
        let batches: Vec<RecordBatch> = self.rows_at(base, rows, columns).await?;
        let failed = |error| Error::internal("keys of several data files cannot be put together").because(error);
        let column = |place: usize| {
            let pieces: Vec<_> = batches.iter().map(|batch| batch.column(place).as_ref()).collect();
            concat(&pieces).map_err(failed)
        };
        (0..columns.len()).map(column).collect()
    }

    /// Returns the changes that remove the tombstone files that hide no row once the data files `gone` are removed.
    pub(crate) fn drop_tombstones(base: &View, gone: &[FileId]) -> Vec<Change> {
        let stay = base.files().filter(|file| !gone.contains(&file.id));
        let earliest = stay.map(|file| file.added_at).min();
        let is_spent = |file: &&Arc<TombstoneFile>| earliest.is_none_or(|row| !file.sequence.hides(row));
        base.snapshot().tombstones().filter(is_spent).map(|file| Change::RemoveTombstones(file.id)).collect()
    }

    /// Returns the changes that replace all tombstone files by deletion vectors, or `None` if there are few. The data
    /// files `gone` need no deletion vectors.
    pub(crate) async fn fold_tombstones(&self, base: &View, gone: &[FileId]) -> Result<Option<Vec<Change>>> {
        if !has_many_tombstones(base.snapshot()) {
            return Ok(None);
        }
        let stay: Vec<_> = base.files().filter(|file| !gone.contains(&file.id)).collect();
        let mut changes = self.hide_by_position(&self.hidden_by_key_alone(base, &stay).await?).await?;
        changes.extend(base.snapshot().tombstones().map(|file| Change::RemoveTombstones(file.id)));
        Ok(Some(changes))
    }

    /// Returns the rows of data files that tombstones hide and no deletion vector hides.
    async fn hidden_by_key_alone(&self, base: &View, files: &[&Arc<DataFile>]) -> Result<RowPositions> {
        let mut rows = RowPositions::default();
        for file in files.iter().filter(|file| !base.tombstones_for(file).is_empty()) {
            let Some(hidden) = self.hidden(base, file).await? else { continue };
            rows.add(file.id, &hidden.without(self.hidden_by_position(base, file).await?.as_ref()));
        }
        Ok(rows)
    }
}
