//! The state of a table between two commits.

use std::sync::Arc;

use imbl::OrdMap;
use imbl::ordmap::DiffItem;

use crate::{ContentHash, DataFile, DeletionFile, FileId, Sequence, SnapshotChanges, TableId, TombstoneFile};

/// The content of a table at one sequence. Cloning it, or deriving the next snapshot from it, costs in proportion to
/// the changes, not to the size of the table.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    pub(crate) table: TableId,
    pub(crate) sequence: Sequence,
    pub(crate) files: OrdMap<FileId, Arc<DataFile>>,
    pub(crate) deletions: OrdMap<FileId, Arc<DeletionFile>>,
    /// The deletion files of each data file, derived from `deletions`.
    hidden: OrdMap<FileId, HiddenIn>,
    pub(crate) tombstones: OrdMap<FileId, Arc<TombstoneFile>>,
    pub(crate) stored_rows: u64,
    pub(crate) stored_bytes: u64,
    pub(crate) hidden_rows: u64,
    pub(crate) inline: InlineTotals,
}

/// The deletion files of one data file and their totals.
#[derive(Clone, Debug, Default, PartialEq)]
struct HiddenIn {
    /// Sorted by id.
    deletions: Vec<FileId>,
    rows: u64,
    set: DeletionSet,
}

/// A fingerprint of a set of deletion files. Two sets have the same fingerprint only if they are equal, up to
/// collisions of a 128-bit hash.
///
/// It is maintained from one snapshot to the next, so that reading it takes constant time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct DeletionSet(u128);

impl DeletionSet {
    /// Returns the set without one of its deletion files.
    #[must_use]
    pub fn without(self, deletion: FileId) -> Self {
        self.toggled(deletion)
    }

    /// Returns the set with one more file that hides rows.
    #[must_use]
    pub fn with(self, file: FileId) -> Self {
        self.toggled(file)
    }

    /// XORs in the hash of an id. The result is independent of order, and the same operation adds and removes an id.
    fn toggled(self, deletion: FileId) -> Self {
        Self(self.0 ^ ContentHash::of(deletion.as_bytes()).0)
    }
}

/// The totals of the inline data files of a snapshot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InlineTotals {
    /// The number of inline data files.
    pub files: u64,
    /// The number of their rows.
    pub rows: u64,
    /// Their length in bytes.
    pub bytes: u64,
}

impl Snapshot {
    /// Returns the state of a table before its first commit.
    #[must_use]
    pub fn empty(table: TableId) -> Self {
        Self {
            table,
            sequence: Sequence::ZERO,
            files: OrdMap::new(),
            deletions: OrdMap::new(),
            hidden: OrdMap::new(),
            tombstones: OrdMap::new(),
            stored_rows: 0,
            stored_bytes: 0,
            hidden_rows: 0,
            inline: InlineTotals::default(),
        }
    }

    /// Returns the snapshot that consists of these records, as a metastore has read them.
    #[must_use]
    pub fn from_records(
        table: TableId,
        sequence: Sequence,
        files: impl IntoIterator<Item = DataFile>,
        deletions: impl IntoIterator<Item = DeletionFile>,
        tombstones: impl IntoIterator<Item = TombstoneFile>,
    ) -> Self {
        let mut snapshot = Self { sequence, ..Self::empty(table) };
        files.into_iter().for_each(|file| snapshot.insert_file(file));
        deletions.into_iter().for_each(|deletion| snapshot.insert_deletion(deletion));
        for tombstone in tombstones {
            snapshot.tombstones.insert(tombstone.id, Arc::new(tombstone));
        }
        snapshot
    }

    /// Returns the table that the snapshot belongs to.
    #[must_use]
    pub fn table(&self) -> TableId {
        self.table
    }

    /// Returns the sequence of the commit that made it.
    #[must_use]
    pub fn sequence(&self) -> Sequence {
        self.sequence
    }

    /// Returns the live data files, in the order in which their ids were drawn.
    #[must_use]
    pub fn files(&self) -> impl ExactSizeIterator<Item = &Arc<DataFile>> {
        self.files.values()
    }

    /// Returns a live data file.
    #[must_use]
    pub fn file(&self, id: FileId) -> Option<&Arc<DataFile>> {
        self.files.get(&id)
    }

    /// Returns the deletion files.
    #[must_use]
    pub fn deletions(&self) -> impl ExactSizeIterator<Item = &Arc<DeletionFile>> {
        self.deletions.values()
    }

    /// Returns a deletion file.
    #[must_use]
    pub fn deletion(&self, id: FileId) -> Option<&Arc<DeletionFile>> {
        self.deletions.get(&id)
    }

    /// Returns the deletion files of one data file, in the order in which their ids were drawn.
    #[must_use]
    pub fn deletions_of(&self, data_file: FileId) -> impl ExactSizeIterator<Item = &Arc<DeletionFile>> {
        let ids = self.hidden.get(&data_file).map_or(&[][..], |hidden| hidden.deletions.as_slice());
        let found: Vec<_> = ids.iter().filter_map(|id| self.deletions.get(id)).collect();
        found.into_iter()
    }

    /// Returns the data files that have deletion files.
    #[must_use]
    pub fn files_with_deletions(&self) -> impl ExactSizeIterator<Item = FileId> {
        self.hidden.keys().copied()
    }

    /// Returns the number of rows of one data file that deletion files hide.
    #[must_use]
    pub fn hidden_rows_of(&self, data_file: FileId) -> u64 {
        self.hidden.get(&data_file).map_or(0, |hidden| hidden.rows)
    }

    /// Returns the set of deletion files of one data file, or `None` if it has none.
    #[must_use]
    pub fn deletion_set_of(&self, data_file: FileId) -> Option<DeletionSet> {
        self.hidden.get(&data_file).map(|hidden| hidden.set)
    }

    /// Returns the number of rows that deletion files hide.
    #[must_use]
    pub fn hidden_rows(&self) -> u64 {
        self.hidden_rows
    }

    /// Returns the tombstone files.
    #[must_use]
    pub fn tombstones(&self) -> impl ExactSizeIterator<Item = &Arc<TombstoneFile>> {
        self.tombstones.values()
    }

    /// Returns the number of rows in live data files, hidden ones included.
    #[must_use]
    pub fn stored_rows(&self) -> u64 {
        self.stored_rows
    }

    /// Returns the length of all live data files, in bytes.
    #[must_use]
    pub fn stored_bytes(&self) -> u64 {
        self.stored_bytes
    }

    /// Returns the exact number of visible rows, or `None` if only a scan can tell.
    #[must_use]
    pub fn visible_rows(&self) -> Option<u64> {
        self.tombstones.is_empty().then(|| self.stored_rows.saturating_sub(self.hidden_rows))
    }

    /// Returns the totals of its inline data files.
    #[must_use]
    pub fn inline(&self) -> InlineTotals {
        self.inline
    }

    /// Returns what has changed since `base`. The cost is proportional to the changes if this snapshot was derived from
    /// `base`.
    #[must_use]
    pub fn changes_since(&self, base: &Self) -> SnapshotChanges {
        let mut removed = Vec::new();
        let files = changed(&base.files, &self.files, &mut removed);
        let deletions = changed(&base.deletions, &self.deletions, &mut removed);
        let tombstones = changed(&base.tombstones, &self.tombstones, &mut removed);
        SnapshotChanges {
            files,
            deletions: deletions.iter().map(|deletion| deletion.as_ref().clone()).collect(),
            tombstones: tombstones.iter().map(|file| file.as_ref().clone()).collect(),
            removed,
        }
    }

    pub(crate) fn insert_file(&mut self, file: DataFile) {
        if file.is_inline() {
            self.inline.files += 1;
            self.inline.rows = self.inline.rows.saturating_add(file.rows);
            self.inline.bytes = self.inline.bytes.saturating_add(file.bytes);
        }
        self.stored_rows = self.stored_rows.saturating_add(file.rows);
        self.stored_bytes = self.stored_bytes.saturating_add(file.bytes);
        self.files.insert(file.id, Arc::new(file));
    }

    pub(crate) fn remove_file(&mut self, id: FileId) -> Option<Arc<DataFile>> {
        let file = self.files.remove(&id)?;
        if file.is_inline() {
            self.inline.files = self.inline.files.saturating_sub(1);
            self.inline.rows = self.inline.rows.saturating_sub(file.rows);
            self.inline.bytes = self.inline.bytes.saturating_sub(file.bytes);
        }
        self.stored_rows = self.stored_rows.saturating_sub(file.rows);
        self.stored_bytes = self.stored_bytes.saturating_sub(file.bytes);
        for deletion in self.hidden.get(&id).map(|hidden| hidden.deletions.clone()).unwrap_or_default() {
            self.remove_deletion(deletion);
        }
        Some(file)
    }

    pub(crate) fn insert_deletion(&mut self, deletion: DeletionFile) {
        self.hidden_rows = self.hidden_rows.saturating_add(deletion.rows);
        let hidden = self.hidden.entry(deletion.data_file).or_default();
        hidden.rows = hidden.rows.saturating_add(deletion.rows);
        if let Err(place) = hidden.deletions.binary_search(&deletion.id) {
            hidden.deletions.insert(place, deletion.id);
            hidden.set = hidden.set.toggled(deletion.id);
        }
        self.deletions.insert(deletion.id, Arc::new(deletion));
    }

    pub(crate) fn remove_deletion(&mut self, id: FileId) -> Option<Arc<DeletionFile>> {
        let deletion = self.deletions.remove(&id)?;
        self.hidden_rows = self.hidden_rows.saturating_sub(deletion.rows);
        if let Some(hidden) = self.hidden.get_mut(&deletion.data_file) {
            hidden.rows = hidden.rows.saturating_sub(deletion.rows);
            if let Ok(place) = hidden.deletions.binary_search(&id) {
                hidden.deletions.remove(place);
                hidden.set = hidden.set.toggled(id);
            }
            if hidden.deletions.is_empty() {
                self.hidden.remove(&deletion.data_file);
            }
        }
        Some(deletion)
    }
}

/// Returns the values that are new or changed in `after`, and appends the ids of those that were removed or changed to
/// `removed`.
fn changed<T: PartialEq>(
    before: &OrdMap<FileId, Arc<T>>,
    after: &OrdMap<FileId, Arc<T>>,
    removed: &mut Vec<FileId>,
) -> Vec<Arc<T>> {
    let mut new = Vec::new();
    for item in before.diff(after) {
        match item {
            DiffItem::Add(_, value) => new.push(Arc::clone(value)),
            DiffItem::Update { old: (id, _), new: (_, value) } => {
                removed.push(*id);
                new.push(Arc::clone(value));
            }
            DiffItem::Remove(id, _) => removed.push(*id),
        }
    }
    new
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Location;

    fn id(number: u8) -> FileId {
        FileId::from_bytes([number; 16])
    }

    fn deletion(number: u8) -> DeletionFile {
        let location = Location::Inline(Vec::new().into());
        DeletionFile { id: id(number), data_file: id(0), location, rows: 1, sequence: Sequence::ZERO }
    }

    fn snapshot(deletions: impl IntoIterator<Item = u8>) -> Snapshot {
        let table = TableId::from_bytes([9; 16]);
        Snapshot::from_records(table, Sequence::ZERO, [], deletions.into_iter().map(deletion), [])
    }

    #[test]
    fn sets_of_deletion_files_are_the_same_only_if_the_files_are() {
        let mut sets = std::collections::HashMap::new();
        for subset in 0_u8..128 {
            let of = |numbers: Vec<u8>| numbers.into_iter().filter(|number| subset >> (number - 1) & 1 == 1);
            let set = snapshot(of((1..8).collect())).deletion_set_of(id(0));
            assert_eq!(set, snapshot(of((1..8).rev().collect())).deletion_set_of(id(0)), "whatever came first");
            assert_eq!(sets.insert(set, subset), None);
        }
        assert_eq!(sets.get(&None), Some(&0), "no file at all");
    }

    #[test]
    fn deletion_file_that_goes_leaves_the_set_of_the_others() {
        let mut changed = snapshot([1, 2, 3]);
        let all = changed.deletion_set_of(id(0)).unwrap();
        changed.remove_deletion(id(2));
        assert_eq!(changed.deletion_set_of(id(0)), Some(all.without(id(2))));
        assert_eq!(changed.deletion_set_of(id(0)), snapshot([3, 1]).deletion_set_of(id(0)));
    }
}
