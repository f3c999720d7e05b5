//! Memory is reserved before it is used, and a refusal changes nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cayenne_format::ErrorKind;
use futures::{StreamExt, stream};

use crate::disk::{Disk, With, read_request, request};
use crate::sizes::noise;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_without_room_refuses_the_write() {
    let disk = Disk::with(With { memory_bytes: 3 << 20, ..With::default() }).await;
    let batches = (0..100).map(|batch| noise(batch * 8192, 8192)).collect();
    let error = disk.write(batches).await.unwrap_err();
    assert_eq!((error.kind(), error.stable_code()), (ErrorKind::ResourceLimit, "out-of-memory"));
    assert!(disk.data_files().is_empty());
    assert_eq!(disk.pool.reserved(), 0);
    disk.write(vec![noise(0, 1000)]).await.unwrap();
}

#[tokio::test]
async fn a_pool_without_room_refuses_the_read() {
    let disk = Disk::new().await;
    let rows = noise(0, 100_000);
    let files = disk.write(vec![rows.clone()]).await.unwrap();
    disk.pool.grow(&datafusion_execution::memory_pool::MemoryConsumer::new("test").register(&disk.pool), 0);
    let held = datafusion_execution::memory_pool::MemoryConsumer::new("test").register(&disk.pool);
    held.try_grow((1 << 30) - 1000).unwrap();
    let error = disk.read(&files[0], rows.schema()).await.unwrap_err();
    assert_eq!((error.kind(), error.stable_code()), (ErrorKind::ResourceLimit, "out-of-memory"));
    drop(held);
    disk.read(&files[0], rows.schema()).await.unwrap();
    assert_eq!(disk.pool.reserved(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_file_holds_does_not_grow_with_its_length() {
    let disk = Disk::new().await;
    let peak = Arc::new(AtomicUsize::new(0));
    let (seen, pool) = (Arc::clone(&peak), Arc::clone(&disk.pool));
    let batches = stream::iter(0..800).map(move |batch| {
        seen.fetch_max(pool.reserved(), Ordering::Relaxed);
        Ok(noise(batch * 8192, 8192))
    });
    disk.storage.write(request(noise(0, 0).schema(), vec![batches.boxed()])).await.unwrap();
    let peak = peak.load(Ordering::Relaxed);
    // 105 MB of rows pass through.
    assert!((1 << 20..48 << 20).contains(&peak), "{peak}");
    assert_eq!(disk.pool.reserved(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_read_holds_does_not_grow_with_its_length() {
    let disk = Disk::new().await;
    let batches = stream::iter(0..400).map(|batch| Ok(noise(batch * 8192, 8192)));
    let files = disk.storage.write(request(noise(0, 0).schema(), vec![batches.boxed()])).await.unwrap();
    let mut rows = disk.storage.read(read_request(&files[0], Arc::default()), noise(0, 0).schema()).await.unwrap();
    let mut peak = 0;
    while let Some(batch) = rows.next().await {
        batch.unwrap();
        peak = peak.max(disk.pool.reserved());
    }
    drop(rows);
    // 52 MB of rows pass through. Both the rows decoded ahead and those returned are charged.
    assert!((1 << 20..32 << 20).contains(&peak), "{peak}");
    assert_eq!(disk.pool.reserved(), 0);
}
