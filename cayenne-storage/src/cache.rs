//! Verified bytes of data files, kept while there is room: what Vortex asked for, as it asked for it.

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

use cayenne_format::FileId;
use moka::sync::Cache;
use parking_lot::RwLock;
use vortex::array::ArrayRef;
use vortex::buffer::ByteBuffer;

/// What an entry costs besides its bytes, roughly.
const ENTRY_BYTES: u64 = 128;

/// What the array of a segment costs besides the bytes of the segment, roughly: its nodes and their statistics.
const ARRAY_BYTES: u64 = 2048;

/// How many removed files are remembered. A read that was under way when its file was removed ends long before as many
/// more files have been removed.
const REMOVED_MAX: usize = 65_536;

/// A piece of a file: where it begins and how long it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SegmentKey {
    pub(crate) file: FileId,
    pub(crate) offset: u64,
    pub(crate) length: usize,
}

/// How the segment cache has done since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheCounters {
    /// Reads answered from memory.
    pub hits: u64,
    /// Reads that went to the disk.
    pub misses: u64,
    /// The bytes it holds now.
    pub bytes: u64,
    /// The bytes it may hold; 0 if it is off.
    pub capacity_bytes: u64,
    /// The number of segments it holds now.
    pub entries: u64,
}

/// How many pieces the cache knows to have been asked for once; 8 bytes each.
const ASKED_ONCE: usize = 64 * 1024;

/// A segment as it is in the file and, once single rows of it were asked for, as the array that it is: still compressed,
/// and without bytes of its own.
#[derive(Clone)]
struct Segment {
    bytes: ByteBuffer,
    array: Option<ArrayRef>,
}

impl Segment {
    fn weight(&self) -> u32 {
        let array = if self.array.is_some() { ARRAY_BYTES } else { 0 };
        u32::try_from(self.bytes.len() as u64 + ENTRY_BYTES + array).unwrap_or(u32::MAX)
    }
}

/// A cache bounded in bytes that admits what is asked for again.
///
/// A table that is scanned once, by a command that ends or beside the queries that come back, takes no memory here and
/// drives nothing out.
pub(crate) struct SegmentCache {
    entries: Option<Cache<SegmentKey, Segment>>,
    asked: AskedOnce,
    capacity_bytes: u64,
    removed: RwLock<Removed>,
    hits: AtomicU64,
    misses: AtomicU64,
}

#[derive(Default)]
struct Removed {
    order: VecDeque<FileId>,
    ids: HashSet<FileId>,
}

impl SegmentCache {
    pub(crate) fn new(capacity_bytes: u64) -> Self {
        let entries = (capacity_bytes > 0).then(|| {
            Cache::builder()
                .name("cayenne.segments")
                .max_capacity(capacity_bytes)
                .weigher(|_, segment: &Segment| segment.weight())
                .build()
        });
        Self {
            asked: AskedOnce::new(if entries.is_some() { ASKED_ONCE } else { 0 }),
            entries,
            capacity_bytes,
            removed: RwLock::default(),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    /// Says whether a piece that was just read is worth keeping: it is if it was asked for before, not long ago.
    pub(crate) fn admits(&self, key: &SegmentKey) -> bool {
        self.asked.again(key)
    }

    pub(crate) fn get(&self, key: &SegmentKey) -> Option<ByteBuffer> {
        let found = self.entries.as_ref().and_then(|entries| entries.get(key));
        let counter = if found.is_some() { &self.hits } else { &self.misses };
        counter.fetch_add(1, Ordering::Relaxed);
        found.map(|segment| segment.bytes)
    }

    /// Returns the array that a segment is, if it was kept. Only an answer counts, as a hit: who gets none asks for bytes.
    pub(crate) fn array(&self, key: &SegmentKey) -> Option<ArrayRef> {
        let array = self.entries.as_ref()?.get(key)?.array?;
        self.hits.fetch_add(1, Ordering::Relaxed);
        Some(array)
    }

    /// Keeps the array that a segment is beside its bytes, as long as those are kept.
    pub(crate) fn keep_array(&self, key: SegmentKey, array: &ArrayRef) {
        let Some(Segment { bytes, .. }) = self.entries.as_ref().and_then(|entries| entries.get(&key)) else { return };
        self.insert_segment(key, Segment { bytes, array: Some(array.clone()) });
    }

    pub(crate) fn insert(&self, key: SegmentKey, bytes: ByteBuffer) {
        self.insert_segment(key, Segment { bytes, array: None });
    }

    fn insert_segment(&self, key: SegmentKey, segment: Segment) {
        let Some(entries) = &self.entries else { return };
        // Held over the insertion, so that no bytes of a file enter after `evict` went through the entries.
        let removed = self.removed.read();
        if !removed.ids.contains(&key.file) {
            entries.insert(key, segment);
        }
    }

    /// Forgets the bytes of files that were removed, for ever: ids are never used again.
    pub(crate) fn evict(&self, files: &HashSet<FileId>) {
        let Some(entries) = &self.entries else { return };
        self.removed.write().add(files);
        let keys: Vec<SegmentKey> =
            entries.iter().map(|(key, _)| *key).filter(|key| files.contains(&key.file)).collect();
        for key in keys {
            entries.invalidate(&key);
        }
    }

    pub(crate) fn counters(&self) -> CacheCounters {
        let (bytes, count) = match &self.entries {
            None => (0, 0),
            Some(entries) => {
                entries.run_pending_tasks();
                (entries.weighted_size(), entries.entry_count())
            }
        };
        CacheCounters {
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            bytes,
            capacity_bytes: self.capacity_bytes,
            entries: count,
        }
    }
}

/// The pieces that were asked for lately, as far as one hash for each place of a table remembers them.
///
/// Two pieces with one place push each other out, which costs no more than another read.
struct AskedOnce {
    hashes: Box<[AtomicU64]>,
    hasher: RandomState,
}

impl AskedOnce {
    fn new(places: usize) -> Self {
        Self { hashes: (0..places).map(|_| AtomicU64::new(0)).collect(), hasher: RandomState::new() }
    }

    /// Notes that a piece is asked for and says whether it was the last one at its place.
    fn again(&self, key: &SegmentKey) -> bool {
        let hash = self.hasher.hash_one(key);
        let place = usize::try_from(hash % self.hashes.len().max(1) as u64).unwrap_or_default();
        self.hashes.get(place).is_some_and(|known| known.swap(hash, Ordering::Relaxed) == hash)
    }
}

impl Removed {
    fn add(&mut self, files: &HashSet<FileId>) {
        for file in files {
            if self.ids.insert(*file) {
                self.order.push_back(*file);
            }
        }
        while self.order.len() > REMOVED_MAX {
            if let Some(oldest) = self.order.pop_front() {
                self.ids.remove(&oldest);
            }
        }
    }
}

impl fmt::Debug for SegmentCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SegmentCache").field("counters", &self.counters()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(file: u8) -> SegmentKey {
        SegmentKey { file: FileId::from_bytes([file; 16]), offset: 0, length: 100 }
    }

    #[test]
    fn bytes_of_a_removed_file_leave_and_never_come_back() {
        let cache = SegmentCache::new(1 << 20);
        cache.insert(key(1), ByteBuffer::zeroed(100));
        cache.insert(key(2), ByteBuffer::zeroed(100));
        cache.evict(&HashSet::from([key(1).file]));
        assert!(cache.get(&key(1)).is_none());
        assert!(cache.get(&key(2)).is_some());
        cache.insert(key(1), ByteBuffer::zeroed(100));
        assert!(cache.get(&key(1)).is_none());
        assert_eq!(cache.counters().entries, 1);
    }

    #[test]
    fn what_is_held_stays_within_the_capacity() {
        let cache = SegmentCache::new(10_000);
        for file in 0..200 {
            cache.insert(key(file), ByteBuffer::zeroed(1_000));
        }
        let counters = cache.counters();
        assert!(counters.bytes <= counters.capacity_bytes, "{counters:?}");
        assert!(counters.entries > 0, "{counters:?}");
    }

    #[test]
    fn only_what_is_asked_for_again_is_admitted() {
        let cache = SegmentCache::new(10_000);
        assert_eq!([1, 2, 1, 2, 1].map(|file| cache.admits(&key(file))), [false, false, true, true, true]);
        let many = (0..100_000_u64).map(|offset| SegmentKey { offset, ..key(3) });
        assert!(!many.clone().any(|key| cache.admits(&key)), "nothing was asked for twice");
        let known = many.filter(|key| cache.admits(key)).count();
        assert!((1..ASKED_ONCE).contains(&known), "a scan of more pieces than are remembered is forgotten: {known}");
        assert!(!SegmentCache::new(0).admits(&key(1)));
    }

    #[test]
    fn a_cache_of_no_bytes_keeps_nothing() {
        let cache = SegmentCache::new(0);
        cache.insert(key(1), ByteBuffer::zeroed(100));
        assert!(cache.get(&key(1)).is_none());
        assert_eq!(cache.counters(), CacheCounters { misses: 1, ..CacheCounters::default() });
    }
}
