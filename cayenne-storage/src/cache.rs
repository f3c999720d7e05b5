//! The segment cache: verified bytes of data files, kept while there is room, in the pieces that Vortex requests.

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

use cayenne_format::FileId;
use moka::sync::Cache;
use parking_lot::RwLock;
use vortex::array::ArrayRef;
use vortex::buffer::ByteBuffer;

/// The approximate cost of an entry besides its bytes, in bytes.
const ENTRY_BYTES: u64 = 128;

/// The approximate cost of the array of a segment besides the bytes of the segment, in bytes: its nodes and their
/// statistics.
const ARRAY_BYTES: u64 = 2048;

/// The number of removed files that are remembered. A read that was running when its file was removed ends long before
/// this many more files have been removed.
const REMOVED_MAX: usize = 65_536;

/// A piece of a file: its offset and its length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SegmentKey {
    pub(crate) file: FileId,
    pub(crate) offset: u64,
    pub(crate) length: usize,
}

/// Counters of the segment cache since it was created.
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

/// The number of pieces that the cache remembers as requested once; 8 bytes each.
const ASKED_ONCE: usize = 64 * 1024;

/// A segment as stored in the file and, once single rows of it were read, as the array that it holds: still compressed,
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

/// A cache bounded in bytes that admits pieces that are requested again.
///
/// A table that is scanned once, by a command that ends or alongside recurring queries, takes no memory here and evicts
/// nothing.
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

    /// Says whether a piece that was just read is worth caching: it is if it was also requested before, not long ago.
    pub(crate) fn admits(&self, key: &SegmentKey) -> bool {
        self.asked.again(key)
    }

    pub(crate) fn get(&self, key: &SegmentKey) -> Option<ByteBuffer> {
        let found = self.entries.as_ref().and_then(|entries| entries.get(key));
        let counter = if found.is_some() { &self.hits } else { &self.misses };
        counter.fetch_add(1, Ordering::Relaxed);
        found.map(|segment| segment.bytes)
    }

    /// Returns the array that a segment holds, if it is cached. Only a hit is counted: after a miss the caller requests
    /// bytes.
    pub(crate) fn array(&self, key: &SegmentKey) -> Option<ArrayRef> {
        let array = self.entries.as_ref()?.get(key)?.array?;
        self.hits.fetch_add(1, Ordering::Relaxed);
        Some(array)
    }

    /// Caches the array that a segment holds with its bytes, for as long as the bytes are cached.
    pub(crate) fn keep_array(&self, key: SegmentKey, array: &ArrayRef) {
        let Some(Segment { bytes, .. }) = self.entries.as_ref().and_then(|entries| entries.get(&key)) else { return };
        self.insert_segment(key, Segment { bytes, array: Some(array.clone()) });
    }

    pub(crate) fn insert(&self, key: SegmentKey, bytes: ByteBuffer) {
        self.insert_segment(key, Segment { bytes, array: None });
    }

    fn insert_segment(&self, key: SegmentKey, segment: Segment) {
        let Some(entries) = &self.entries else { return };
        // Held during the insertion, so that no bytes of a file enter after `evict` has visited the entries.
        let removed = self.removed.read();
        if !removed.ids.contains(&key.file) {
            entries.insert(key, segment);
        }
    }

    /// Evicts the bytes of removed files permanently: ids are never reused.
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

/// The pieces that were requested recently: a hash table with one hash in each slot.
///
/// Two pieces with the same slot displace each other, which costs no more than another read.
struct AskedOnce {
    hashes: Box<[AtomicU64]>,
    hasher: RandomState,
}

impl AskedOnce {
    fn new(places: usize) -> Self {
        Self { hashes: (0..places).map(|_| AtomicU64::new(0)).collect(), hasher: RandomState::new() }
    }

    /// Notes that a piece is requested, and says whether it was also the last one requested in its slot.
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
