//! Writing the key index of one data file.

use bytes::{BufMut, Bytes};
use cayenne_format::{ContentHash, Error, Result};

use super::bloom::{Bloom, BloomBuilder, hash_of};
use super::page::{self, PAGE_ENTRIES_MAX};
use super::{KeyIndex, PageHead, TAIL_MAGIC};
use crate::DeletionVector;
use crate::key::{KeyCodec, KeyForm, Keys};

/// A filter is left out if at least one in this many numbers between the first and the last key is a key: it would pass
/// most lookups.
const DENSE_GAPS_MAX: u128 = 2;

/// Which of several rows with one key is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeepRule {
    /// The first one.
    First,
    /// The last one.
    Last,
}

/// Collects the keys of one data file, in row order.
#[derive(Debug)]
pub struct KeyIndexBuilder {
    form: KeyForm,
    seed: u64,
    keys: Keys,
    left_out: DeletionVector,
}

/// A key index, ready to be stored.
#[derive(Debug)]
pub struct BuiltIndex {
    /// The whole stored form.
    pub bytes: Bytes,
    /// The positions that are not in the index because another row of the file has the same key.
    pub superseded: DeletionVector,
    /// The number of rows, superseded ones included.
    pub rows: u64,
}

impl KeyIndexBuilder {
    /// Returns a builder for keys that `codec` makes.
    #[must_use]
    pub fn new(codec: &KeyCodec) -> Self {
        Self {
            form: codec.form(),
            seed: codec.seed(),
            keys: codec.form().no_keys(),
            left_out: DeletionVector::default(),
        }
    }

    /// Adds the keys of the next rows.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Internal`](cayenne_format::ErrorKind::Internal) if they have another form.
    pub fn push(&mut self, keys: &Keys) -> Result<()> {
        match (&mut self.keys, keys) {
            (Keys::Narrow(all), Keys::Narrow(keys)) => all.extend_from_slice(keys),
            (Keys::Wide(all), Keys::Wide(keys)) => all.extend_from_slice(keys),
            _ => return Err(Error::internal("keys of one form are put into an index of another")),
        }
        Ok(())
    }

    /// Leaves rows out: no key leads to them, and they supersede no other row.
    pub fn leave_out(&mut self, rows: &DeletionVector) {
        self.left_out.add(rows);
    }

    /// Returns the memory that the keys take, in bytes. [`finish`](Self::finish) takes the memory of the stored form on
    /// top, and twice that of the keys if they are not in order.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.keys.memory_bytes()
    }

    /// Returns the index of the data file with this hash. `keep` decides which of several rows with one key is kept.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ResourceLimit`](cayenne_format::ErrorKind::ResourceLimit) above 2^32 pages.
    pub fn finish(self, keep: KeepRule, data_file: ContentHash) -> Result<BuiltIndex> {
        let index = KeyIndex {
            form: self.form,
            seed: self.seed,
            entries: 0,
            rows: self.keys.len() as u64,
            data_file,
            last_key: 0,
            pages: Vec::new(),
            bloom: Bloom::PASSES_ALL,
        };
        match self.keys {
            Keys::Narrow(keys) => write(index, keys, &self.left_out, keep),
            Keys::Wide(keys) => write(index, keys, &self.left_out, keep),
        }
    }
}

fn write<K: Copy + Ord + Into<u128>>(
    index: KeyIndex,
    keys: Vec<K>,
    left_out: &DeletionVector,
    keep: KeepRule,
) -> Result<BuiltIndex> {
    if left_out.is_empty() && keys.is_sorted() {
        let ends = keys.first().copied().zip(keys.last().copied());
        return Writer::new(index, ends).write(keys.into_iter().zip(0..), keep);
    }
    let mut entries: Vec<(K, u64)> = keys.into_iter().zip(0..).collect();
    if !left_out.is_empty() {
        entries.retain(|(_, position)| !left_out.hides(*position));
    }
    entries.sort_unstable();
    let ends = entries.first().zip(entries.last()).map(|(first, last)| (first.0, last.0));
    Writer::new(index, ends).write(entries.into_iter(), keep)
}

struct Writer {
    index: KeyIndex,
    bloom: Option<BloomBuilder>,
    out: Vec<u8>,
    keys: Vec<u128>,
    positions: Vec<u128>,
}

impl Writer {
    /// Takes the first and the last key, if there are any.
    fn new(mut index: KeyIndex, ends: Option<(impl Into<u128>, impl Into<u128>)>) -> Self {
        let (first, last) = ends.map_or((0, 0), |(first, last)| (first.into(), last.into()));
        index.last_key = last;
        let dense = (last - first) / DENSE_GAPS_MAX < u128::from(index.rows);
        let bloom = (!dense).then(|| BloomBuilder::for_keys(usize::try_from(index.rows).unwrap_or(usize::MAX)));
        Self { index, bloom, out: Vec::new(), keys: Vec::new(), positions: Vec::new() }
    }

    /// Writes entries that are in key order, those of one key in position order.
    fn write<K: Copy + Ord + Into<u128>>(
        mut self,
        entries: impl Iterator<Item = (K, u64)>,
        keep: KeepRule,
    ) -> Result<BuiltIndex> {
        let mut superseded = DeletionVector::default();
        let mut entries = entries.peekable();
        while let Some((key, mut kept)) = entries.next() {
            while let Some((_, later)) = entries.next_if(|(next, _)| *next == key) {
                superseded.hide(if keep == KeepRule::First { later } else { kept });
                kept = if keep == KeepRule::First { kept } else { later };
            }
            self.put(key.into(), kept)?;
        }
        self.end_page()?;
        let rows = self.index.rows;
        if let Some(bloom) = self.bloom {
            self.index.bloom = bloom.finish();
        }
        let head = self.index.encode();
        self.out.put_slice(&head);
        self.out.put_u64_le(head.len() as u64);
        self.out.put_slice(&TAIL_MAGIC);
        Ok(BuiltIndex { bytes: self.out.into(), superseded, rows })
    }

    fn put(&mut self, key: u128, position: u64) -> Result<()> {
        if self.keys.len() == PAGE_ENTRIES_MAX {
            self.end_page()?;
        }
        if let Some(bloom) = &mut self.bloom {
            bloom.insert(hash_of(key, self.index.seed));
        }
        self.keys.push(key);
        self.positions.push(position.into());
        Ok(())
    }

    fn end_page(&mut self) -> Result<()> {
        let Some(first) = self.keys.first().copied() else {
            return Ok(());
        };
        let too_large = |_| Error::resource_limit("a key index has too many pages");
        u32::try_from(self.index.pages.len()).map_err(too_large)?;
        let bytes = page::encode(&self.keys, &self.positions);
        let (offset, length) = (self.out.len() as u64, u32::try_from(bytes.len()).map_err(too_large)?);
        let entries = u32::try_from(self.keys.len()).map_err(too_large)?;
        self.index.pages.push(PageHead { first, offset, length, entries });
        self.index.entries += u64::from(entries);
        self.out.put_slice(&bytes);
        self.keys.clear();
        self.positions.clear();
        Ok(())
    }
}
