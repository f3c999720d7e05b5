//! What is read again is cached, and then does not touch the disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use cayenne_format::{BlockChecksums, FileId, Result, TableId};
use cayenne_storage::{LoadBlocks, ReadCounters, ReadRequest, StorageSettings};
use futures::TryStreamExt;

use crate::disk::{Disk, LOCATION, With, read_request, whole};
use crate::fault_fs::{Asked, FaultFs};
use crate::sizes::noise;

fn at(counter: &std::sync::atomic::AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

#[tokio::test]
async fn what_was_read_twice_is_answered_from_memory() {
    let fs = FaultFs::default();
    let disk = Disk::with(With { fs: Arc::new(fs.clone()), ..With::default() }).await;
    let rows = noise(0, 100_000);
    let files = disk.write(vec![rows.clone()]).await.unwrap();
    let first = Arc::new(ReadCounters::default());
    assert_eq!(whole(&disk.read_counting(&files[0], rows.schema(), Arc::clone(&first)).await.unwrap()), rows);
    assert_eq!((at(&first.cache_hits), at(&first.cache_misses)), (0, at(&first.requests)));
    assert!(at(&first.bytes_read) >= at(&first.bytes_requested), "whole blocks are read");
    assert_eq!(disk.storage.cache().entries, 0, "a single scan takes no memory");
    disk.read_counting(&files[0], rows.schema(), Arc::clone(&first)).await.unwrap();
    fs.clear();
    let second = Arc::new(ReadCounters::default());
    assert_eq!(whole(&disk.read_counting(&files[0], rows.schema(), Arc::clone(&second)).await.unwrap()), rows);
    assert_eq!((at(&second.cache_misses), at(&second.bytes_read)), (0, 0));
    assert_eq!(at(&second.cache_hits), at(&second.requests));
    assert_eq!(fs.asked(), [], "not even opened");
    let cache = disk.storage.cache();
    assert_eq!((cache.hits, cache.misses), (at(&second.cache_hits), at(&first.cache_misses)));
    assert!(cache.entries > 0 && cache.bytes > 0 && cache.bytes <= cache.capacity_bytes, "{cache:?}");
}

/// A rewrite reads a file for the last time: none of it enters the cache, and what is cached is used.
#[tokio::test]
async fn what_is_read_for_the_last_time_is_not_kept() {
    let disk = Disk::new().await;
    let rows = noise(0, 100_000);
    let files = disk.write(vec![rows.clone()]).await.unwrap();
    for _ in 0..3 {
        let request = ReadRequest { is_last: true, ..read_request(&files[0], Arc::default()) };
        let read: Vec<_> = disk.storage.read(request, rows.schema()).await.unwrap().try_collect().await.unwrap();
        assert_eq!(whole(&read), rows);
        assert_eq!(disk.storage.cache().entries, 0);
    }
    for _ in 0..2 {
        disk.read(&files[0], rows.schema()).await.unwrap();
    }
    assert!(disk.storage.cache().entries > 0);
    let counters = Arc::new(ReadCounters::default());
    let request = ReadRequest { is_last: true, ..read_request(&files[0], Arc::clone(&counters)) };
    let read: Vec<_> = disk.storage.read(request, rows.schema()).await.unwrap().try_collect().await.unwrap();
    assert_eq!((whole(&read), at(&counters.cache_misses)), (rows, 0));
}

#[tokio::test]
async fn removed_files_leave_the_cache() {
    let disk = Disk::new().await;
    let rows = noise(0, 10_000);
    let files = disk.write(vec![rows.clone()]).await.unwrap();
    for _ in 0..2 {
        disk.read(&files[0], rows.schema()).await.unwrap();
    }
    assert!(disk.storage.cache().entries > 0);
    let names = disk.data_files();
    disk.storage.remove_files(LOCATION, &names).await.unwrap();
    assert_eq!(disk.storage.cache().entries, 0);
    let error = disk.read(&files[0], rows.schema()).await.unwrap_err();
    assert_eq!(error.stable_code(), "missing-data-file");
}

#[tokio::test]
async fn without_a_cache_every_read_goes_to_the_disk_and_opens_the_file_once() {
    let fs = FaultFs::default();
    let settings = StorageSettings { segment_cache_bytes: 0, ..StorageSettings::default() };
    let disk = Disk::with(With { fs: Arc::new(fs.clone()), settings, ..With::default() }).await;
    let rows = noise(0, 100_000);
    let files = disk.write(vec![rows.clone()]).await.unwrap();
    for _ in 0..2 {
        fs.clear();
        let counters = Arc::new(ReadCounters::default());
        disk.read_counting(&files[0], rows.schema(), Arc::clone(&counters)).await.unwrap();
        assert_eq!(at(&counters.cache_hits), 0);
        let asked = fs.asked();
        assert_eq!(asked.iter().filter(|asked| matches!(asked, Asked::Open(_))).count(), 1);
        assert_eq!(asked.iter().filter(|asked| **asked == Asked::Read).count() as u64, at(&counters.requests));
    }
    assert_eq!(disk.storage.cache().entries, 0);
}

#[derive(Debug)]
struct Counted(BlockChecksums, AtomicUsize);

#[async_trait]
impl LoadBlocks for Counted {
    async fn load_blocks(&self, _: TableId, _: FileId) -> Result<BlockChecksums> {
        self.1.fetch_add(1, Ordering::SeqCst);
        Ok(self.0.clone())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn checksums_are_loaded_once_for_a_file_and_never_for_one_just_written() {
    let disk = Disk::new().await;
    let rows = noise(0, 100_000);
    let files = disk.write(vec![rows.clone()]).await.unwrap();
    let blocks = Arc::new(Counted(files[0].blocks.clone(), AtomicUsize::new(0)));
    for (storage, expected) in [(&disk, 0), (&disk.cold(), 1)] {
        for _ in 0..2 {
            let mut request = read_request(&files[0], Arc::default());
            request.blocks = Arc::clone(&blocks) as Arc<dyn LoadBlocks>;
            let read = storage.storage.read(request, rows.schema()).await.unwrap();
            let _rows: Vec<_> = read.try_collect().await.unwrap();
        }
        assert_eq!(blocks.1.load(Ordering::SeqCst), expected);
    }
}
