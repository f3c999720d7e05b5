//! Keys of many rows: as an index keeps them, sorted for lookups, and as whole byte strings.

use std::ops::Range;

use crate::key::KeyForm;

/// The keys of rows, in row order, as an index keeps them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keys {
    /// Keys of at most 64 bits.
    Narrow(Vec<u64>),
    /// Keys of 128 bits.
    Wide(Vec<u128>),
}

impl Keys {
    /// Returns the number of keys.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Narrow(keys) => keys.len(),
            Self::Wide(keys) => keys.len(),
        }
    }

    /// Says whether there is no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Collects keys in a form.
    #[must_use]
    pub fn of(form: KeyForm, keys: impl IntoIterator<Item = u128>) -> Self {
        let mut all = form.no_keys();
        all.extend(keys);
        all
    }

    /// Returns the key of a row.
    #[must_use]
    pub fn get(&self, row: usize) -> Option<u128> {
        match self {
            Self::Narrow(keys) => keys.get(row).copied().map(u128::from),
            Self::Wide(keys) => keys.get(row).copied(),
        }
    }

    /// Returns the memory that the keys take, in bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        match self {
            Self::Narrow(keys) => keys.capacity() * size_of::<u64>(),
            Self::Wide(keys) => keys.capacity() * size_of::<u128>(),
        }
    }

    /// Returns the key of a row that exists, for loops over rows below the length.
    #[inline]
    pub(crate) fn at(&self, row: usize) -> u128 {
        let key = self.get(row);
        debug_assert!(key.is_some(), "a loop over keys stays below their number");
        key.unwrap_or(u128::MAX)
    }

    /// Returns the keys in ascending order, equal keys in row order, and the row of each. The rows are `None` if the
    /// keys were in order already.
    pub(crate) fn sorted(self) -> (Self, Option<Vec<usize>>) {
        match self {
            Self::Narrow(keys) => {
                let (keys, rows) = sorted(keys);
                (Self::Narrow(keys), rows)
            }
            Self::Wide(keys) => {
                let (keys, rows) = sorted(keys);
                (Self::Wide(keys), rows)
            }
        }
    }
}

fn sorted<K: Copy + Ord>(keys: Vec<K>) -> (Vec<K>, Option<Vec<usize>>) {
    if keys.is_sorted() {
        return (keys, None);
    }
    let mut pairs: Vec<(K, usize)> = keys.into_iter().zip(0..).collect();
    pairs.sort_unstable();
    let (keys, rows) = pairs.into_iter().unzip();
    (keys, Some(rows))
}

impl Extend<u128> for Keys {
    fn extend<T: IntoIterator<Item = u128>>(&mut self, keys: T) {
        match self {
            // These keys come from others of the same form, so they fit.
            Self::Narrow(all) => all.extend(keys.into_iter().map(|key| u64::try_from(key).unwrap_or(u64::MAX))),
            Self::Wide(all) => all.extend(keys),
        }
    }
}

/// Keys in ascending order that remember their rows: the keys that are looked up in an index. The same key may occur
/// many times.
///
/// The *place* of a key is its position in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SortedKeys {
    keys: Keys,
    rows: Option<Vec<usize>>,
}

impl SortedKeys {
    /// Sorts `keys`. Keys that are in order already are left as they are.
    #[must_use]
    pub fn new(keys: Keys) -> Self {
        let (keys, rows) = keys.sorted();
        Self { keys, rows }
    }

    /// Sorts `keys`, removes duplicates, and forgets the rows: the row of a key is then its place.
    #[must_use]
    pub fn distinct(mut keys: Keys) -> Self {
        match &mut keys {
            Keys::Narrow(keys) => {
                keys.sort_unstable();
                keys.dedup();
            }
            Keys::Wide(keys) => {
                keys.sort_unstable();
                keys.dedup();
            }
        }
        Self { keys, rows: None }
    }

    /// Returns the number of keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Says whether there is no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Returns the keys in ascending order.
    #[must_use]
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// Returns the row that the key at `place` came from, or `None` if there is no such place.
    #[must_use]
    pub fn row(&self, place: usize) -> Option<usize> {
        match &self.rows {
            Some(rows) => rows.get(place).copied(),
            None => (place < self.len()).then_some(place),
        }
    }

    /// Returns the memory that the keys and their rows take, in bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.keys.memory_bytes() + self.rows.as_ref().map_or(0, |rows| rows.capacity() * size_of::<usize>())
    }

    pub(crate) fn at(&self, place: usize) -> u128 {
        self.keys.at(place)
    }

    /// Returns the places of `run` that exist.
    pub(crate) fn clamp(&self, run: &Range<usize>) -> Range<usize> {
        let end = run.end.min(self.len());
        run.start.min(end)..end
    }
}

/// Whole keys as byte strings that sort as the keys do. Different keys have different bytes, whatever their length.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyBytes {
    data: Vec<u8>,
    ends: Vec<usize>,
}

impl KeyBytes {
    /// Returns the number of keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Says whether there is no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Returns the key of a row.
    #[must_use]
    pub fn get(&self, row: usize) -> Option<&[u8]> {
        let start = row.checked_sub(1).map_or(Some(0), |before| self.ends.get(before).copied())?;
        self.data.get(start..*self.ends.get(row)?)
    }

    /// Returns the keys, in the order of the rows.
    #[must_use]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        (0..self.len()).map(|row| self.get(row).unwrap_or_default())
    }

    /// Returns the memory that the keys take, in bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.data.capacity() + self.ends.capacity() * size_of::<usize>()
    }

    /// Returns the key of the last row.
    pub(crate) fn last(&self) -> Option<&[u8]> {
        self.len().checked_sub(1).and_then(|row| self.get(row))
    }

    /// Appends a key that `write` appends to the bytes it is given.
    pub(crate) fn push_with(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        write(&mut self.data);
        self.ends.push(self.data.len());
    }
}

impl<'a> FromIterator<&'a [u8]> for KeyBytes {
    fn from_iter<T: IntoIterator<Item = &'a [u8]>>(keys: T) -> Self {
        let mut all = Self::default();
        for key in keys {
            all.push_with(|data| data.extend_from_slice(key));
        }
        all
    }
}
