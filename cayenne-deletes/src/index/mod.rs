//! The key index of one data file: maps keys to the positions of their rows. It is stored next to the data file and
//! read page by page. It is never the truth: if it cannot answer, the data file does.
//!
//! A stored index consists of its pages, its head, and a tail of [`KeyIndex::TAIL_BYTES`] that says where the head
//! begins.

mod bloom;
mod build;
mod join;
mod packed;
mod page;
mod small;

use std::ops::Range;

use bytes::{Buf, BufMut, Bytes};
use cayenne_format::{ContentHash, Error, FrameKind, Result, open, seal};

use self::bloom::{Bloom, hash_of};
pub use self::build::{BuiltIndex, KeepRule, KeyIndexBuilder};
use self::join::gallop;
pub use self::page::KeyPage;
use self::page::PAGE_ENTRIES_MAX;
pub use self::small::SmallIndex;
use crate::key::{KEY_ENCODING_VERSION, KeyCodec, KeyForm, Keys, SortedKeys};

const TAIL_MAGIC: [u8; 8] = *b"CAYNKEYS";

/// The stored bytes for each page: first key, length, entries.
const STORED_PAGE_BYTES: usize = 16 + 4 + 4;

fn damaged(message: &'static str) -> Error {
    Error::corrupt(message).code("damaged-key-index").help("the index is rebuilt when its data file is rewritten")
}

/// The head of the key index of one data file, which describes all pages.
#[derive(Clone, Debug)]
pub struct KeyIndex {
    form: KeyForm,
    seed: u64,
    entries: u64,
    rows: u64,
    data_file: ContentHash,
    last_key: u128,
    pages: Vec<PageHead>,
    bloom: Bloom,
}

#[derive(Clone, Debug)]
struct PageHead {
    first: u128,
    offset: u64,
    length: u32,
    entries: u32,
}

/// A page that must be searched, and the places of the keys to search for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The number of the page.
    pub page: usize,
    /// Places of [`SortedKeys`]. The first and the last of them may be in the page; those between need not be.
    pub keys: Range<usize>,
}

impl KeyIndex {
    /// The length of the tail of a stored index, in bytes. [`KeyIndex::head_range`] finds the head from it.
    pub const TAIL_BYTES: usize = 16;

    /// Returns the range of the head within a stored index of `file_bytes`, given its last [`KeyIndex::TAIL_BYTES`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Corrupt`](cayenne_format::ErrorKind::Corrupt) if `tail` is not the tail of such an index.
    pub fn head_range(file_bytes: u64, mut tail: &[u8]) -> Result<Range<u64>> {
        let no_tail = || damaged("a key index does not end as one").with("bytes", file_bytes);
        if tail.len() != Self::TAIL_BYTES {
            return Err(no_tail());
        }
        let length = tail.try_get_u64_le().map_err(|_| no_tail())?;
        let end = file_bytes.checked_sub(Self::TAIL_BYTES as u64).ok_or_else(no_tail)?;
        let start = end.checked_sub(length).filter(|_| tail == TAIL_MAGIC).ok_or_else(no_tail)?;
        Ok(start..end)
    }

    /// Reads the head of a stored index of `file_bytes`. The filter is read in place: `head`, and all bytes that were
    /// read together with it, stay in memory.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Corrupt`](cayenne_format::ErrorKind::Corrupt) if a byte is not what was written;
    /// [`ErrorKind::Unsupported`](cayenne_format::ErrorKind::Unsupported) for keys of a version that this build does
    /// not know.
    pub fn decode(head: &Bytes, file_bytes: u64) -> Result<Self> {
        let mut payload = open(FrameKind::KeyIndex, head)?;
        let version = payload.try_get_u16_le().map_err(|_| short())?;
        if version != KEY_ENCODING_VERSION {
            return Err(Error::unsupported("a key index has keys of a version this build does not know")
                .with("found", version)
                .with("known", KEY_ENCODING_VERSION)
                .help("use a newer Cayenne"));
        }
        let index = Self::read(payload)?;
        let pages_bytes = index.pages.last().map_or(0, |page| page.offset + u64::from(page.length));
        let expected = pages_bytes + head.len() as u64 + Self::TAIL_BYTES as u64;
        if expected != file_bytes {
            return Err(damaged("a key index is not as long as its head says")
                .with("expected", expected)
                .with("found", file_bytes));
        }
        if !index.is_sound() {
            return Err(damaged("the head of a key index contradicts itself"));
        }
        Ok(index)
    }

    fn read(mut payload: Bytes) -> Result<Self> {
        let form = KeyForm::of_number(payload.try_get_u8().map_err(|_| short())?)?;
        let seed = payload.try_get_u64_le().map_err(|_| short())?;
        let entries = payload.try_get_u64_le().map_err(|_| short())?;
        let rows = payload.try_get_u64_le().map_err(|_| short())?;
        let data_file = ContentHash(payload.try_get_u128_le().map_err(|_| short())?);
        let last_key = payload.try_get_u128_le().map_err(|_| short())?;
        let count = payload.try_get_u32_le().map_err(|_| short())? as usize;
        if count > payload.remaining() / STORED_PAGE_BYTES {
            return Err(short());
        }
        let mut pages = Vec::with_capacity(count);
        let mut offset = 0;
        for _ in 0..count {
            let first = payload.try_get_u128_le().map_err(|_| short())?;
            let length = payload.try_get_u32_le().map_err(|_| short())?;
            let entries = payload.try_get_u32_le().map_err(|_| short())?;
            pages.push(PageHead { first, offset, length, entries });
            offset += u64::from(length);
        }
        Ok(Self { form, seed, entries, rows, data_file, last_key, pages, bloom: Bloom::decode(payload)? })
    }

    fn is_sound(&self) -> bool {
        let entries: u64 = self.pages.iter().map(|page| u64::from(page.entries)).sum();
        let filled = |page: &PageHead| (1..=PAGE_ENTRIES_MAX).contains(&(page.entries as usize));
        let narrow = matches!(self.form, KeyForm::Integer);
        entries == self.entries
            && entries <= self.rows
            && self.pages.iter().all(filled)
            && self.pages.is_sorted_by(|before, after| before.first < after.first)
            && self.pages.last().is_none_or(|page| page.first <= self.last_key)
            && (!narrow || self.last_key <= u128::from(u64::MAX))
    }

    /// Returns the stored form of the head.
    fn encode(&self) -> Bytes {
        let mut payload = Vec::new();
        payload.put_u16_le(KEY_ENCODING_VERSION);
        payload.put_u8(self.form.number());
        payload.put_u64_le(self.seed);
        payload.put_u64_le(self.entries);
        payload.put_u64_le(self.rows);
        payload.put_u128_le(self.data_file.0);
        payload.put_u128_le(self.last_key);
        payload.put_u32_le(u32::try_from(self.pages.len()).unwrap_or(u32::MAX));
        for page in &self.pages {
            payload.put_u128_le(page.first);
            payload.put_u32_le(page.length);
            payload.put_u32_le(page.entries);
        }
        payload.put_slice(self.bloom.as_bytes());
        seal(FrameKind::KeyIndex, &payload)
    }

    /// Says whether keys of this codec can be looked up in it.
    #[must_use]
    pub fn fits(&self, codec: &KeyCodec) -> bool {
        self.form == codec.form() && self.seed == codec.seed()
    }

    /// Returns the form in which it keeps keys.
    #[must_use]
    pub fn form(&self) -> KeyForm {
        self.form
    }

    /// Returns the number of keys: the rows of the data file, without those that were superseded within it.
    #[must_use]
    pub fn entries(&self) -> u64 {
        self.entries
    }

    /// Returns the number of rows of the data file.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Returns the hash of the data file that it was built for.
    #[must_use]
    pub fn data_file(&self) -> ContentHash {
        self.data_file
    }

    /// Returns the number of pages.
    #[must_use]
    pub fn pages(&self) -> usize {
        self.pages.len()
    }

    /// Returns the range of a page within the stored index, or `None` if there is no such page.
    #[must_use]
    pub fn page_range(&self, page: usize) -> Option<Range<u64>> {
        self.page(page).map(|page| page.offset..page.offset + u64::from(page.length))
    }

    /// Returns the memory that it takes without its pages, in bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>() + self.pages.capacity() * size_of::<PageHead>() + self.bloom.as_bytes().len()
    }

    /// Returns the pages that may contain keys at the places `selected`, in ascending order, and the keys to search for
    /// in each.
    ///
    /// The cost is proportional to the number of pages or keys, whichever is smaller, as long as the filter passes
    /// keys.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Internal`](cayenne_format::ErrorKind::Internal) if the keys are of another width than the index.
    pub fn candidates(&self, keys: &SortedKeys, selected: Range<usize>) -> Result<Vec<Candidate>> {
        if matches!(keys.keys(), Keys::Narrow(_)) != matches!(self.form, KeyForm::Integer) {
            return Err(Error::internal("keys of one form are looked up in an index of another"));
        }
        let mut left = keys.clamp(&selected);
        let mut candidates = Vec::new();
        let mut page = 0;
        left.start =
            self.pages.first().map_or(left.end, |first| gallop(left.clone(), |place| keys.at(place) < first.first));
        left.end = gallop(left.clone(), |place| keys.at(place) <= self.last_key);
        while !left.is_empty() {
            let key = keys.at(left.start);
            let begins_by = |page: usize| self.page(page).is_some_and(|page| page.first <= key);
            page = gallop(page..self.pages.len(), begins_by).saturating_sub(1);
            let end = match self.page(page + 1) {
                Some(next) => gallop(left.clone(), |place| keys.at(place) < next.first),
                None => left.end,
            };
            candidates.extend(self.passed(keys, left.start..end).map(|keys| Candidate { page, keys }));
            left.start = end;
        }
        Ok(candidates)
    }

    /// Drops the keys at both ends of a run that the filter rejects.
    fn passed(&self, keys: &SortedKeys, mut run: Range<usize>) -> Option<Range<usize>> {
        if self.bloom.passes_all() {
            return Some(run);
        }
        let passes = |place: &usize| self.bloom.passes(hash_of(keys.at(*place), self.seed));
        let first = run.find(passes)?;
        let last = run.rfind(passes).unwrap_or(first);
        Some(first..last + 1)
    }

    fn page(&self, page: usize) -> Option<&PageHead> {
        self.pages.get(page)
    }

    fn last_key(&self) -> u128 {
        self.last_key
    }
}

fn short() -> Error {
    damaged("the head of a key index ends early")
}
