//! Reads the pages of a key index, from memory or from its file: one page, or many pages at once.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use cayenne_deletes::{Candidate, KeyPage};
use cayenne_format::{Error, Result};

use crate::state::key_indexes::{KeyIndexCache, PagedIndex, Waits};

/// Maximum length of one read, in bytes. Pages that lie near each other are read together.
const READ_BYTES_MAX: u64 = 1024 * 1024;

/// Maximum gap between two pages that are read together, in bytes. The gap is read too, to save a second read.
const READ_GAP_BYTES_MAX: u64 = 16 * 1024;

/// Access to the pages of key indexes.
#[derive(Clone, Copy)]
pub(super) struct Pages<'a> {
    pub(super) cache: &'a KeyIndexCache,
    pub(super) waits: Waits,
}

impl Pages<'_> {
    /// Returns a page, and reads it if it is not in memory. If the read would wait for the disk and must not, it fails
    /// with the code [`WOULD_WAIT`](crate::state::key_indexes::WOULD_WAIT).
    pub(super) fn get(self, stored: &PagedIndex, page: usize) -> Result<Arc<KeyPage>> {
        if let Some(page) = self.cache.page(stored.file, page) {
            return Ok(page);
        }
        let bytes = stored.pages.read(range_of(stored, page)?, self.waits)?;
        self.decoded(stored, page, &bytes)
    }

    /// Calls `visit` for each page that may hold keys. Pages that are not in memory are read many at a time, with the
    /// file opened once.
    pub(super) fn each(
        self,
        stored: &PagedIndex,
        candidates: &[Candidate],
        mut visit: impl FnMut(&KeyPage, Range<usize>),
    ) -> Result<()> {
        let mut opened = None;
        let mut read = Run::default();
        for (at, candidate) in candidates.iter().enumerate() {
            if let Some(page) = self.cache.page(stored.file, candidate.page) {
                visit(&page, candidate.keys.clone());
                continue;
            }
            let range = range_of(stored, candidate.page)?;
            if !read.has(&range) {
                let pages = match &opened {
                    Some(pages) => pages,
                    None => opened.insert(stored.pages.opened(self.waits)?),
                };
                let run = run_from(stored, candidates.get(at..).unwrap_or_default(), range.clone())?;
                read = Run { bytes: pages.read(run.clone(), self.waits)?, range: run };
            }
            let page = self.decoded(stored, candidate.page, &read.piece(&range)?)?;
            visit(&page, candidate.keys.clone());
        }
        Ok(())
    }

    fn decoded(self, stored: &PagedIndex, page: usize, bytes: &Bytes) -> Result<Arc<KeyPage>> {
        let decoded = Arc::new(KeyPage::decode(bytes, &stored.index, page)?);
        self.cache.insert_page(stored.file, page, Arc::clone(&decoded));
        Ok(decoded)
    }
}

fn range_of(stored: &PagedIndex, page: usize) -> Result<Range<u64>> {
    stored.index.page_range(page).ok_or_else(|| Error::internal("a key index has no such page"))
}

/// Returns the range to read at once: that of the first page, and those of the next pages as long as they lie near.
fn run_from(stored: &PagedIndex, candidates: &[Candidate], first: Range<u64>) -> Result<Range<u64>> {
    let mut run = first;
    for candidate in candidates {
        let next = range_of(stored, candidate.page)?;
        if next.start.saturating_sub(run.end) > READ_GAP_BYTES_MAX
            || next.end.saturating_sub(run.start) > READ_BYTES_MAX
        {
            break;
        }
        run.end = run.end.max(next.end);
    }
    Ok(run)
}

/// Bytes of an index that were read at once.
#[derive(Default)]
struct Run {
    range: Range<u64>,
    bytes: Bytes,
}

impl Run {
    fn has(&self, range: &Range<u64>) -> bool {
        self.range.start <= range.start && range.end <= self.range.end
    }

    fn piece(&self, range: &Range<u64>) -> Result<Bytes> {
        let place = |at: u64| usize::try_from(at.saturating_sub(self.range.start)).unwrap_or(usize::MAX);
        let piece = place(range.start)..place(range.end);
        // A read returns all of its bytes or fails.
        let is_there = piece.start <= piece.end && piece.end <= self.bytes.len();
        is_there.then(|| self.bytes.slice(piece)).ok_or_else(|| Error::internal("a page is not in what was read"))
    }
}

#[cfg(test)]
mod tests {
    use arrow_schema::{DataType, Field, Schema};
    use cayenne_deletes::{KeepRule, KeyCodec, KeyIndex, KeyIndexBuilder, Keys, SortedKeys};
    use cayenne_format::{ContentHash, ErrorKind, FileId};

    use super::*;
    use crate::state::key_indexes::PageBytes;

    /// Enough keys for pages in several runs, with gaps between the pages that are asked for.
    const ROWS: u64 = 300_000;

    fn scrambled(number: u64) -> u64 {
        number.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31).wrapping_mul(0xbf58_476d_1ce4_e5b9)
    }

    /// An index in which row `n` has the key `scrambled(n)`: positions and keys take all the room they can.
    fn index(damaged: Option<usize>) -> PagedIndex {
        let schema = Schema::new(vec![Field::new("id", DataType::UInt64, false)]);
        let codec = KeyCodec::new(&schema, &["id".to_owned()]).unwrap();
        let mut builder = KeyIndexBuilder::new(&codec);
        builder.push(&Keys::Narrow((0..ROWS).map(scrambled).collect())).unwrap();
        let mut bytes = builder.finish(KeepRule::Last, ContentHash(7)).unwrap().bytes.to_vec();
        let length = bytes.len() as u64;
        let head = KeyIndex::head_range(length, &bytes[bytes.len() - KeyIndex::TAIL_BYTES..]).unwrap();
        let head =
            Bytes::copy_from_slice(&bytes[usize::try_from(head.start).unwrap()..usize::try_from(head.end).unwrap()]);
        let index = KeyIndex::decode(&head, length).unwrap();
        if let Some(page) = damaged {
            bytes[usize::try_from(index.page_range(page).unwrap().start).unwrap() + 30] ^= 1;
        }
        PagedIndex { file: FileId::from_bytes([1; 16]), index, pages: PageBytes::Memory(bytes.into()) }
    }

    fn found(cache: &KeyIndexCache, stored: &PagedIndex, rows: impl Iterator<Item = u64>) -> Result<Vec<u64>> {
        let probes = SortedKeys::distinct(Keys::Narrow(rows.map(scrambled).collect()));
        let candidates = stored.index.candidates(&probes, 0..probes.len())?;
        let mut positions = Vec::new();
        let pages = Pages { cache, waits: Waits::Yes };
        pages.each(stored, &candidates, |page, keys| page.find(&probes, keys, &mut |_, row| positions.push(row)))?;
        positions.sort_unstable();
        Ok(positions)
    }

    #[test]
    fn keys_are_found_wherever_their_pages_lie_and_whichever_are_in_memory() {
        let stored = index(None);
        assert!(stored.index.pages() > 100);
        for cached_bytes in [0, 1 << 16, 1 << 30] {
            let cache = KeyIndexCache::new(cached_bytes);
            // Many and few, so that runs are long, short and broken off by pages that are in memory.
            for step in [7, 10_007, 1_009, 100_003, 7] {
                let rows = || (0..ROWS).step_by(step);
                assert_eq!(found(&cache, &stored, rows()).unwrap(), rows().collect::<Vec<_>>(), "every {step}");
            }
            // Keys that no row has.
            assert_eq!(found(&cache, &stored, ROWS..ROWS + 5_000).unwrap(), [0; 0]);
        }
    }

    #[test]
    fn a_damaged_page_fails_whoever_needs_it_and_nobody_else() {
        let damaged = 50;
        let stored = index(Some(damaged));
        let cache = KeyIndexCache::new(1 << 30);
        assert_eq!(found(&cache, &stored, 0..ROWS).unwrap_err().kind(), ErrorKind::Corrupt);
        let elsewhere: Vec<u64> = (0..ROWS)
            .filter(|row| {
                let probes = SortedKeys::distinct(Keys::Narrow(vec![scrambled(*row)]));
                let candidates = stored.index.candidates(&probes, 0..1).unwrap();
                candidates.iter().all(|candidate| candidate.page != damaged)
            })
            .collect();
        assert!(elsewhere.len() as u64 > ROWS * 9 / 10);
        assert_eq!(found(&cache, &stored, elsewhere.iter().copied()).unwrap(), elsewhere);
    }
}
