//! How many files a write makes, how large they are, and the order of the rows in them.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, UInt64Type};
use arrow_array::{ArrayRef, Int64Array, RecordBatch, UInt64Array};
use cayenne_format::NewDataFile;
use cayenne_storage::{RowStream, StorageSettings};
use futures::{StreamExt, stream};

use crate::disk::{Disk, With, options, request, rows, whole};

/// Numbered rows that do not compress: about 13 bytes each on the disk.
pub(crate) fn noise(from: i64, count: usize) -> RecordBatch {
    let numbers = from..from + i64::try_from(count).unwrap();
    let mixed =
        numbers.clone().map(|number| number.cast_unsigned().wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(17));
    let mixed = mixed.map(|number| number.wrapping_mul(0xD6E8_FEB8_6659_FD93));
    RecordBatch::try_from_iter([
        ("number", Arc::new(Int64Array::from_iter_values(numbers)) as ArrayRef),
        ("noise", Arc::new(UInt64Array::from_iter_values(mixed))),
    ])
    .unwrap()
}

async fn numbers(disk: &Disk, files: &[NewDataFile]) -> Vec<i64> {
    let mut all = Vec::new();
    for file in files {
        let read = whole(&disk.read(file, noise(0, 0).schema()).await.unwrap());
        assert_eq!(read.num_rows() as u64, file.file.rows);
        assert!(read.column(1).as_primitive::<UInt64Type>().values().iter().any(|value| *value > 1 << 60));
        all.extend_from_slice(read.column(0).as_primitive::<Int64Type>().values());
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_end_near_the_target_and_keep_the_order_of_their_stream() {
    let disk = Disk::new().await;
    let batches: Vec<RecordBatch> = (0..128).map(|batch| noise(batch * 8192, 8192)).collect();
    let mut request = request(batches[0].schema(), vec![rows(batches)]);
    request.options = options(1);
    let files = disk.storage.write(request).await.unwrap();
    let sizes: Vec<u64> = files.iter().map(|new| new.file.bytes).collect();
    let (last, full) = sizes.split_last().unwrap();
    assert!(full.len() >= 5, "{sizes:?}");
    assert!(full.iter().all(|bytes| (600_000..1_700_000).contains(bytes)), "{sizes:?}");
    assert!(*last < 1_700_000, "{sizes:?}");
    assert_eq!(numbers(&disk, &files).await, (0..128 * 8192).collect::<Vec<i64>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_huge_batch_is_cut_into_files_too() {
    let disk = Disk::new().await;
    let batch = noise(0, 500_000);
    let mut request = request(batch.schema(), vec![rows(vec![batch])]);
    request.options = options(1);
    let files = disk.storage.write(request).await.unwrap();
    assert!(files.len() >= 3, "{}", files.len());
    assert_eq!(numbers(&disk, &files).await, (0..500_000).collect::<Vec<i64>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn larger_targets_are_met_by_what_was_measured() {
    let disk = Disk::new().await;
    let mut request = request(noise(0, 0).schema(), vec![]);
    request.options = options(8);
    request.rows = vec![stream::iter((0..300).map(|batch| Ok(noise(batch * 8192, 8192)))).boxed()];
    let files = disk.storage.write(request).await.unwrap();
    let sizes: Vec<u64> = files.iter().map(|new| new.file.bytes).collect();
    let full = &sizes[..sizes.len() - 1];
    assert!(!full.is_empty(), "{sizes:?}");
    assert!(full.iter().all(|bytes| (5_500_000..11_500_000).contains(bytes)), "{sizes:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_never_share_a_file_and_no_more_are_read_than_allowed() {
    let settings = StorageSettings { write_concurrency: NonZeroUsize::new(2).unwrap(), ..StorageSettings::default() };
    let disk = Disk::with(With { settings, ..With::default() }).await;
    let (active, peak) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let streams = (0..5).map(|part| watched(part, Arc::clone(&active), Arc::clone(&peak))).collect();
    let files = disk.storage.write(request(noise(0, 0).schema(), streams)).await.unwrap();
    assert_eq!(files.len(), 5);
    assert!(peak.load(Ordering::SeqCst) <= 2);
    for (part, file) in files.iter().enumerate() {
        let first = i64::try_from(part).unwrap() * 1_000_000;
        assert_eq!(numbers(&disk, std::slice::from_ref(file)).await, (first..first + 30_000).collect::<Vec<i64>>());
    }
}

/// Three batches of a stream that counts itself as active while it is read.
fn watched(part: i64, active: Arc<AtomicUsize>, peak: Arc<AtomicUsize>) -> RowStream {
    stream::unfold(0, move |batch| {
        let (active, peak) = (Arc::clone(&active), Arc::clone(&peak));
        async move {
            if batch == 0 {
                peak.fetch_max(active.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            if batch == 3 {
                active.fetch_sub(1, Ordering::SeqCst);
                return None;
            }
            Some((Ok(noise(part * 1_000_000 + batch * 10_000, 10_000)), batch + 1))
        }
    })
    .boxed()
}

#[tokio::test]
async fn without_rows_there_is_no_file() {
    let disk = Disk::new().await;
    let empty = noise(0, 0);
    let streams = vec![rows(vec![]), rows(vec![empty.clone(), empty.clone()])];
    let files = disk.storage.write(request(empty.schema(), streams)).await.unwrap();
    assert!(files.is_empty());
    assert!(disk.data_files().is_empty());
}

#[tokio::test]
async fn the_record_of_a_file_tells_what_is_on_the_disk() {
    let disk = Disk::new().await;
    let files = disk.write(vec![noise(0, 1000)]).await.unwrap();
    let record = &files[0].file;
    let bytes = std::fs::read(disk.path(record)).unwrap();
    assert_eq!(record.bytes, bytes.len() as u64);
    assert_eq!(record.hash, cayenne_format::ContentHash::of(&bytes));
    assert_eq!(record.rows, 1000);
    files[0].blocks.verify(0, &bytes).unwrap();
    assert_eq!(disk.data_files(), [cayenne_format::path::data_file(record.id, &[])]);
    disk.storage.verify(crate::disk::LOCATION, record).await.unwrap();
}
