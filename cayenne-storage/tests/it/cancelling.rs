//! A write that is dropped, at whatever moment, stops.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::RecordBatch;
use tokio::time::{sleep, timeout};

use crate::disk::{Disk, With, options, request, rows};
use crate::fault_fs::FaultFs;
use crate::sizes::noise;

fn batches() -> Vec<RecordBatch> {
    (0..60).map(|batch| noise(batch * 8192, 8192)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_write_stops_writing_and_gives_its_memory_back() {
    let fs = FaultFs::default();
    fs.slow(Duration::from_millis(2));
    let disk = Disk::with(With { fs: Arc::new(fs.clone()), ..With::default() }).await;
    let mut cancelled = 0;
    for ms in [0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89] {
        let mut request = request(noise(0, 0).schema(), vec![rows(batches()), rows(batches())]);
        request.options = options(1);
        let outcome = timeout(Duration::from_millis(ms), disk.storage.write(request)).await;
        cancelled += usize::from(outcome.is_err());
        // Work that a thread had begun when the write was dropped takes a moment.
        sleep(Duration::from_millis(30)).await;
        fs.clear();
        sleep(Duration::from_millis(60)).await;
        assert_eq!(fs.asked(), [], "after {ms} ms");
        assert_eq!(disk.pool.reserved(), 0, "after {ms} ms");
    }
    assert!(cancelled > 5, "{cancelled}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_dropped_write_leaves_are_orphans() {
    let disk = Disk::new().await;
    let mut request = request(noise(0, 0).schema(), vec![rows(batches())]);
    request.options = options(1);
    let storage = Arc::clone(&disk.storage);
    let writing = tokio::spawn(async move { storage.write(request).await.map(|files| files.len()) });
    while disk.data_files().is_empty() {
        sleep(Duration::from_millis(1)).await;
    }
    writing.abort();
    let _stopped = writing.await;
    sleep(Duration::from_millis(30)).await;
    let orphans = disk.storage.orphans(crate::disk::LOCATION, &HashSet::new()).await.unwrap();
    let mut names: Vec<String> = orphans.into_iter().map(|orphan| orphan.name).collect();
    names.sort();
    assert_eq!(names, disk.data_files());
}

#[tokio::test]
async fn a_dropped_read_gives_its_memory_back() {
    use futures::StreamExt;
    let disk = Disk::new().await;
    let files = disk.write(batches()).await.unwrap();
    let request = crate::disk::read_request(&files[0], Arc::default());
    let mut read = disk.storage.read(request, noise(0, 0).schema()).await.unwrap();
    read.next().await.unwrap().unwrap();
    assert!(disk.pool.reserved() > 0);
    drop(read);
    assert_eq!(disk.pool.reserved(), 0);
}
