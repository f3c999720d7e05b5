//! One page of a key index: some entries in key order, read in place.

use std::ops::Range;

use bytes::{Buf, BufMut, Bytes};
use cayenne_format::{Error, FrameKind, Result, open, seal};

use super::join::join;
use super::packed::Packed;
use super::{KeyIndex, damaged};
use crate::key::{KeyForm, Keys, SortedKeys};

/// The maximum number of entries in a page: as many as one read of some kilobytes returns.
pub(super) const PAGE_ENTRIES_MAX: usize = 2048;

/// Returns the stored form of a page: the number of entries, the packed keys, the packed positions, in a frame.
pub(super) fn encode(keys: &[u128], positions: &[u128]) -> Bytes {
    let mut payload = Vec::new();
    payload.put_u32_le(u32::try_from(keys.len()).unwrap_or(u32::MAX));
    Packed::encode(keys, &mut payload);
    Packed::encode(positions, &mut payload);
    seal(FrameKind::KeyPage, &payload)
}

/// Entries of the key index of one data file: keys, and the positions of the rows that have them.
#[derive(Clone, Debug)]
pub struct KeyPage {
    keys: Packed,
    positions: Packed,
}

impl KeyPage {
    /// Reads page number `page` of `index` from the bytes of its range. The bytes are copied, so that a larger read may
    /// be dropped.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Corrupt`](cayenne_format::ErrorKind::Corrupt) if a byte is not what was written, or if it is another
    /// page; [`ErrorKind::Internal`](cayenne_format::ErrorKind::Internal) if the index has no page of this number.
    pub fn decode(bytes: &Bytes, index: &KeyIndex, page: usize) -> Result<Self> {
        let Some(expected) = index.page(page) else {
            return Err(Error::internal("a key index has no page of this number").with("page", page));
        };
        let mut payload = open(FrameKind::KeyPage, bytes)?;
        let entries = payload.try_get_u32_le().map_err(|_| damaged("page of a key index ends early"))?;
        if entries != expected.entries {
            return Err(damaged("page of a key index has another number of entries than its index says"));
        }
        let read = Self::read(&mut payload, entries as usize).filter(|_| payload.is_empty());
        let read = read.ok_or_else(|| damaged("page of a key index cannot be unpacked"))?;
        if !read.is_in(index, page) {
            return Err(damaged("page of a key index does not belong to it").with("page", page));
        }
        Ok(read)
    }

    fn read(payload: &mut Bytes, entries: usize) -> Option<Self> {
        Some(Self { keys: Packed::decode(payload, entries)?, positions: Packed::decode(payload, entries)? })
    }

    /// Says whether the page is as the index describes it: its keys rise from the page's first key and stay below the
    /// next page, and its positions are of rows that the data file has.
    fn is_in(&self, index: &KeyIndex, page: usize) -> bool {
        let first = index.page(page).map(|page| page.first);
        let last = self.keys.len().checked_sub(1).map(|last| self.keys.get(last));
        let ends = match index.page(page + 1) {
            Some(next) => last.is_some_and(|last| last < next.first),
            None => last == Some(index.last_key()),
        };
        ends && first == (0..self.keys.len()).next().map(|entry| self.keys.get(entry))
            && self.keys.rise()
            && self.positions.are_below(u128::from(index.rows()))
    }

    /// Returns the number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Says whether it has no entry; a stored page has at least one.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the memory that it takes, in bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.keys.memory_bytes() + self.positions.memory_bytes()
    }

    /// Calls `found` with the place of each key of `run` that is in this page and the position of its row, in ascending
    /// order of places.
    pub fn find(&self, keys: &SortedKeys, run: Range<usize>, found: &mut impl FnMut(usize, u64)) {
        let entry = |entry| self.keys.get(entry);
        join(keys, &run, self.len(), entry, |place, entry| found(place, self.position(entry)));
    }

    /// Returns the keys, for lookups in another index of the same form, and the position of each.
    #[must_use]
    pub fn keys(&self, form: KeyForm) -> (SortedKeys, Vec<u64>) {
        let keys = (0..self.len()).map(|entry| self.keys.get(entry));
        (SortedKeys::new(Keys::of(form, keys)), (0..self.len()).map(|entry| self.position(entry)).collect())
    }

    /// Returns the keys and their positions, in key order.
    #[must_use]
    pub fn entries(&self) -> impl ExactSizeIterator<Item = (u128, u64)> {
        (0..self.len()).map(|entry| (self.keys.get(entry), self.position(entry)))
    }

    fn position(&self, entry: usize) -> u64 {
        // Decoding the page has verified that it is below the number of rows.
        u64::try_from(self.positions.get(entry)).unwrap_or(u64::MAX)
    }
}
