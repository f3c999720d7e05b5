//! The key index of a few rows that are not in a data file yet: in memory only, without pages or a filter.

use std::ops::Range;

use super::KeepRule;
use super::join::join;
use crate::DeletionVector;
use crate::key::{Keys, SortedKeys};

/// Keys in ascending order and the positions of their rows.
#[derive(Clone, Debug)]
pub struct SmallIndex {
    keys: Keys,
    positions: Vec<u32>,
}

impl SmallIndex {
    /// Returns the index of rows with these keys, and the positions that it leaves out because `keep` prefers another
    /// row with the same key.
    ///
    /// # Panics
    ///
    /// If there are 2^32 rows or more.
    #[must_use]
    pub fn new(keys: &Keys, keep: KeepRule) -> (Self, DeletionVector) {
        Self::without(keys, &DeletionVector::default(), keep)
    }

    /// Returns the index of rows with these keys, except the rows of `left_out`: no key leads to them, and they
    /// supersede no other row. Also returns the positions that other rows supersede.
    ///
    /// # Panics
    ///
    /// As [`SmallIndex::new`].
    #[must_use]
    pub fn without(keys: &Keys, left_out: &DeletionVector, keep: KeepRule) -> (Self, DeletionVector) {
        assert!(u32::try_from(keys.len()).is_ok(), "a small index is of fewer than 2^32 rows");
        let mut superseded = DeletionVector::default();
        let (keys, positions) = match keys {
            Keys::Narrow(keys) => {
                let (keys, positions) = unique(keys, left_out, keep, &mut superseded);
                (Keys::Narrow(keys), positions)
            }
            Keys::Wide(keys) => {
                let (keys, positions) = unique(keys, left_out, keep, &mut superseded);
                (Keys::Wide(keys), positions)
            }
        };
        (Self { keys, positions }, superseded)
    }

    /// Returns the number of keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Says whether it has no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Returns the memory that it takes, in bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.keys.memory_bytes() + self.positions.capacity() * size_of::<u32>()
    }

    /// Returns the keys and their positions, in key order.
    #[must_use]
    pub fn entries(&self) -> (SortedKeys, Vec<u64>) {
        (SortedKeys::new(self.keys.clone()), self.positions.iter().copied().map(u64::from).collect())
    }

    /// Calls `found` with the place of each key of `run` that is in the index and the position of its row, in ascending
    /// order of places.
    ///
    /// The keys must have the same form as those of the index.
    pub fn find(&self, keys: &SortedKeys, run: Range<usize>, found: &mut impl FnMut(usize, u64)) {
        debug_assert_eq!(
            matches!(keys.keys(), Keys::Narrow(_)),
            matches!(self.keys, Keys::Narrow(_)),
            "keys of one form are looked up among keys of another"
        );
        let position = |entry: usize| self.positions.get(entry).copied().map_or(u64::MAX, u64::from);
        join(keys, &run, self.len(), |entry| self.keys.at(entry), |place, entry| found(place, position(entry)));
    }
}

fn unique<K: Copy + Ord>(
    keys: &[K],
    left_out: &DeletionVector,
    keep: KeepRule,
    superseded: &mut DeletionVector,
) -> (Vec<K>, Vec<u32>) {
    let mut entries: Vec<(K, u32)> = keys.iter().copied().zip(0..).collect();
    if !left_out.is_empty() {
        entries.retain(|(_, position)| !left_out.hides(u64::from(*position)));
    }
    entries.sort_unstable();
    entries.dedup_by(|later, kept| {
        let same = later.0 == kept.0;
        if same {
            if keep == KeepRule::Last {
                std::mem::swap(later, kept);
            }
            superseded.hide(later.1.into());
        }
        same
    });
    entries.into_iter().unzip()
}
