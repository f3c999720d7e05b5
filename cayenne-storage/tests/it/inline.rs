//! Small writes stay in memory until they are committed, and survive a round trip unless a byte was changed.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray, StringViewArray};
use arrow_ipc::CompressionType;
use arrow_ipc::writer::{IpcWriteOptions, StreamWriter};
use cayenne_format::{ContentHash, FrameKind, InlineOptions, Location, NewDataFile, TableOptions, seal};

use crate::disk::{Disk, request, rows, whole};

fn batch(count: i64) -> RecordBatch {
    let text = StringArray::from_iter_values((0..count).map(|number| format!("row {number}")));
    RecordBatch::try_from_iter([
        ("id", Arc::new(Int64Array::from_iter_values(0..count)) as ArrayRef),
        ("text", Arc::new(text)),
    ])
    .unwrap()
}

async fn write(disk: &Disk, streams: Vec<Vec<RecordBatch>>, inline: InlineOptions) -> Vec<NewDataFile> {
    let schema = streams[0][0].schema();
    let mut request = request(schema, streams.into_iter().map(rows).collect());
    request.options = TableOptions { inline, ..TableOptions::default() };
    disk.storage.write(request).await.unwrap()
}

fn bytes_of(new: &NewDataFile) -> &bytes::Bytes {
    let Location::Inline(bytes) = &new.file.location else { panic!("{new:?} is not inline") };
    bytes
}

#[tokio::test]
async fn streams_become_one_inline_file_in_their_order_and_nothing_on_the_disk() {
    let disk = Disk::new().await;
    let all = batch(1_000);
    let streams = vec![vec![all.slice(0, 300), all.slice(300, 1)], vec![all.slice(301, 699)], vec![all.slice(0, 0)]];
    let files = write(&disk, streams, InlineOptions::default()).await;
    assert_eq!((files.len(), files[0].file.rows), (1, 1_000));
    assert_eq!(bytes_of(&files[0]).len() as u64, files[0].file.bytes);
    assert_eq!(whole(&disk.read(&files[0], all.schema()).await.unwrap()), all);
    assert!(disk.data_files().is_empty());
    disk.storage.verify("t", &files[0].file).await.unwrap();
}

/// Bytes that claim, with valid checksums, to be more than they are.
#[tokio::test]
async fn compressed_rows_are_refused_before_anything_is_made_room_for() {
    let disk = Disk::new().await;
    let all = batch(1_000);
    let files = write(&disk, vec![vec![all.clone()]], InlineOptions::default()).await;
    let mut file = files[0].file.clone();
    let options = IpcWriteOptions::default().try_with_compression(Some(CompressionType::LZ4_FRAME)).unwrap();
    let mut writer = StreamWriter::try_new_with_options(Vec::new(), &all.schema(), options).unwrap();
    writer.write(&all).unwrap();
    let sealed = seal(FrameKind::InlineRows, &writer.into_inner().unwrap());
    file.bytes = sealed.len() as u64;
    file.hash = ContentHash::of(&sealed);
    file.location = Location::Inline(sealed);
    let error = disk.storage.inline_rows(&Arc::new(file), &all.schema()).unwrap_err();
    assert_eq!(error.stable_code(), "damaged-file");
    assert!(std::error::Error::source(&error).unwrap().to_string().contains("compressed"), "{error:?}");
}

#[tokio::test]
async fn either_limit_makes_files_of_a_write() {
    let disk = Disk::new().await;
    let is_inline = async |count: i64, inline: InlineOptions| {
        write(&disk, vec![vec![batch(count)]], inline).await[0].file.is_inline()
    };
    let limits = InlineOptions::default();
    assert!(is_inline(1_024, limits).await);
    assert!(!is_inline(1_025, limits).await);
    assert!(!is_inline(100, InlineOptions { max_bytes: 1_000, ..limits }).await);
    // The rows alone would fit; in their stored form they do not.
    assert!(!is_inline(10, InlineOptions { max_bytes: 300, ..limits }).await);
    assert!(!is_inline(1, InlineOptions { max_rows: 0, ..limits }).await);
    assert!(!is_inline(1, InlineOptions { max_bytes: 0, ..limits }).await);
}

#[tokio::test]
async fn a_few_rows_of_a_large_batch_do_not_drag_the_rest_along() {
    let disk = Disk::new().await;
    let texts = StringViewArray::from_iter_values((0..100_000).map(|number| format!("a text that is long: {number}")));
    let large = RecordBatch::try_from_iter([("text", Arc::new(texts) as ArrayRef)]).unwrap();
    let few = large.slice(50_000, 10);
    let files = write(&disk, vec![vec![few.clone()]], InlineOptions::default()).await;
    assert!(files[0].file.bytes < 4_096, "{} bytes", files[0].file.bytes);
    assert_eq!(whole(&disk.read(&files[0], few.schema()).await.unwrap()), few);
}

/// Invariant I7: every changed byte is an error that names the file.
#[tokio::test]
async fn no_changed_byte_goes_unseen() {
    let disk = Disk::new().await;
    let rows = batch(20);
    let new = write(&disk, vec![vec![rows.clone()]], InlineOptions::default()).await.remove(0);
    let whole = bytes_of(&new).to_vec();
    let mut mutants: Vec<Vec<u8>> = (0..whole.len())
        .map(|at| {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << (at % 8);
            bytes
        })
        .collect();
    mutants.extend([vec![], whole[..10].to_vec(), whole[..whole.len() - 1].to_vec(), [&whole[..], &[0]].concat()]);
    for bytes in mutants {
        let mut damaged = new.clone();
        damaged.file.location = Location::Inline(bytes.into());
        let error = disk.read(&damaged, rows.schema()).await.unwrap_err();
        assert!(error.to_string().contains(&new.file.id.to_string()), "{error}");
        assert_eq!(disk.storage.verify("t", &damaged.file).await.unwrap_err().stable_code(), "damaged-file");
    }
}

#[tokio::test]
async fn rows_of_another_table_are_refused() {
    let disk = Disk::new().await;
    let new = write(&disk, vec![vec![batch(3)]], InlineOptions::default()).await.remove(0);
    let other = RecordBatch::try_from_iter([("id", Arc::new(StringArray::from(vec!["x"])) as ArrayRef)]).unwrap();
    let error = disk.read(&new, other.schema()).await.unwrap_err();
    assert_eq!(error.stable_code(), "damaged-file");
    let mut fewer = new.clone();
    fewer.file.rows = 2;
    assert_eq!(disk.read(&fewer, batch(3).schema()).await.unwrap_err().stable_code(), "damaged-file");
}
