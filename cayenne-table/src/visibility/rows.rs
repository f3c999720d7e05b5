//! Rows by position: found by a statement, to be hidden by a commit.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::sync::Arc;

use cayenne_deletes::{DeletionVector, RowMap};
use cayenne_format::FileId;
use cayenne_storage::RowStream;
use parking_lot::Mutex;

use crate::PinnedView;

/// Rows of one view, by data file and position in it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RowPositions(BTreeMap<FileId, DeletionVector>);

impl RowPositions {
    /// Adds a row, and returns whether it is new.
    pub fn insert(&mut self, file: FileId, position: u64) -> bool {
        self.0.entry(file).or_default().hide(position)
    }

    /// Adds rows of one data file.
    pub fn add(&mut self, file: FileId, rows: &DeletionVector) {
        if !rows.is_empty() {
            self.0.entry(file).or_default().add(rows);
        }
    }

    /// Adds all rows of others.
    pub(crate) fn merge(&mut self, others: Self) {
        for (file, rows) in others.0 {
            match self.0.entry(file) {
                Entry::Vacant(none) => {
                    none.insert(rows);
                }
                Entry::Occupied(mut some) => some.get_mut().add(&rows),
            }
        }
    }

    /// Returns the number of rows.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.0.values().map(DeletionVector::len).sum()
    }

    /// Returns whether there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the rows of each data file.
    pub fn files(&self) -> impl Iterator<Item = (FileId, &DeletionVector)> {
        self.0.iter().map(|(file, rows)| (*file, rows))
    }

    /// Returns the rows of one data file.
    #[must_use]
    pub fn of(&self, file: FileId) -> Option<&DeletionVector> {
        self.0.get(&file)
    }

    /// Removes the rows of a data file if there are exactly `rows` of them. Returns whether it did.
    pub(crate) fn take_all(&mut self, file: FileId, rows: u64) -> bool {
        let is_all = self.of(file).is_some_and(|found| found.len() == rows);
        is_all && self.0.remove(&file).is_some()
    }

    /// Returns whether a row is among them.
    #[must_use]
    pub fn has(&self, file: FileId, position: u64) -> bool {
        self.of(file).is_some_and(|rows| rows.hides(position))
    }
}

/// The rows that a statement has found and hides, shared with the streams that find them.
#[derive(Clone, Debug, Default)]
pub struct SeenRows(Arc<Mutex<RowPositions>>);

impl SeenRows {
    /// Adds rows of one data file, and returns how many of them had been added before.
    pub fn add(&self, file: FileId, positions: impl IntoIterator<Item = u64>) -> u64 {
        let mut rows = self.0.lock();
        positions.into_iter().map(|position| u64::from(!rows.insert(file, position))).sum()
    }

    /// Adds rows that were looked up, and returns how many of them had been added before.
    #[must_use = "rows that were there before may be an error"]
    pub fn add_all(&self, found: RowPositions) -> u64 {
        let mut rows = self.0.lock();
        let expected = rows.len().saturating_add(found.len());
        rows.merge(found);
        expected.saturating_sub(rows.len())
    }

    /// Takes all rows out.
    pub(crate) fn take(&self) -> RowPositions {
        std::mem::take(&mut *self.0.lock())
    }
}

/// The rows that a commit hides, besides those of files that it removes.
#[derive(Debug, Default)]
pub(crate) struct HiddenRows {
    /// Rows of files that existed before.
    pub(crate) of_others: RowPositions,
    /// Rows of files that the commit adds.
    pub(crate) of_new: RowPositions,
    /// The row map, if the commit is of a rewrite.
    pub(crate) moved: Option<Arc<RowMap>>,
}

/// Rows to hide and rows to add, in one commit.
pub struct RowChange {
    /// The view in which the rows to hide were found.
    pub view: Arc<PinnedView>,
    /// The rows to hide. They are complete once every stream of `rows` has ended.
    pub hidden: SeenRows,
    /// The rows to add. Each stream keeps its order.
    pub rows: Vec<RowStream>,
}

impl fmt::Debug for RowChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let streams = self.rows.len();
        f.debug_struct("RowChange").field("hidden", &self.hidden).field("streams", &streams).finish_non_exhaustive()
    }
}
