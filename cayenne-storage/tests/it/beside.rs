//! Files next to the data files: indexes, and others that are written whole.

use std::io::ErrorKind as Io;
use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::{Int64Array, RecordBatch};
use bytes::Bytes;
use cayenne_format::{DataFile, Error, ErrorKind, FileId, Result, path};
use cayenne_storage::{IndexRows, RowIndex, WriteRequest};

use crate::disk::{Disk, LOCATION, TABLE, With, files_only, request, rows};
use crate::fault_fs::{Asked, FaultFs};

fn on(fs: &FaultFs) -> With {
    With { fs: Arc::new(fs.clone()), ..With::default() }
}

fn name(number: u8) -> String {
    path::deletion_file(FileId::from_bytes([number; 16]))
}

fn one(name: String, bytes: Bytes) -> Vec<(String, Bytes)> {
    vec![(name, bytes)]
}

/// Three files in one folder.
fn three() -> Vec<(String, Bytes)> {
    (1..=3).map(|number| (name(number), Bytes::from_static(b"bytes"))).collect()
}

fn beside(disk: &Disk, folder: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(disk.folder().join(folder)).into_iter().flatten();
    entries.map(|entry| entry.unwrap().path()).collect()
}

#[tokio::test]
async fn a_file_comes_back_whole_and_in_pieces_open_or_closed() {
    let disk = Disk::new().await;
    let bytes = (0..100_000_u32).map(|number| number.to_le_bytes()[0]).collect::<Bytes>();
    disk.storage.write_beside(LOCATION, one(name(1), bytes.clone())).await.unwrap();
    let open = disk.storage.open_beside(LOCATION, &name(1)).await.unwrap();
    let closed = open.clone().closed();
    for file in [&open, &closed, &closed.opened().unwrap()] {
        assert_eq!(file.bytes(), 100_000);
        assert_eq!(file.read(0..100_000).unwrap(), bytes);
        assert_eq!(file.read(77..1_077).unwrap(), bytes.slice(77..1_077));
        assert!(file.read(5..5).unwrap().is_empty());
        for range in [0..100_001, 100_001..100_001, u64::MAX - 1..u64::MAX] {
            assert_eq!(file.read(range).unwrap_err().kind(), ErrorKind::Corrupt);
        }
    }
    std::fs::write(&beside(&disk, path::DELETION_FOLDER)[0], &bytes[..10]).unwrap();
    for file in [&open, &closed] {
        assert_eq!(file.read(0..100).unwrap_err().kind(), ErrorKind::Corrupt, "it was cut off since");
    }
    std::fs::remove_file(&beside(&disk, path::DELETION_FOLDER)[0]).unwrap();
    assert_eq!(closed.read(0..1).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(closed.opened().err().unwrap().kind(), ErrorKind::NotFound);
    assert_eq!(disk.storage.open_beside(LOCATION, &name(1)).await.err().unwrap().kind(), ErrorKind::NotFound);
    for at in [disk.folder().join(name(1)), disk.folder().join(path::DELETION_FOLDER)] {
        std::fs::remove_dir_all(disk.folder().join(path::DELETION_FOLDER)).unwrap();
        if at.ends_with(path::DELETION_FOLDER) {
            std::fs::write(at, b"").unwrap();
        } else {
            std::fs::create_dir_all(at).unwrap();
        }
        let error = disk.storage.open_beside(LOCATION, &name(1)).await.err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "something else is in its place: {error:?}");
    }
    for outside in ["../x", "/x", "_deletes/../../x"] {
        disk.storage.write_beside(LOCATION, one(outside.to_owned(), bytes.clone())).await.unwrap_err();
        assert!(disk.storage.open_beside(LOCATION, outside).await.is_err());
    }
}

#[tokio::test]
async fn a_file_that_is_there_already_stays_as_it_is() {
    let disk = Disk::new().await;
    disk.storage.write_beside(LOCATION, one(name(1), Bytes::from_static(b"first"))).await.unwrap();
    let error = disk.storage.write_beside(LOCATION, one(name(1), Bytes::from_static(b"second"))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    let file = disk.storage.open_beside(LOCATION, &name(1)).await.unwrap();
    assert_eq!(file.read(0..5).unwrap(), Bytes::from_static(b"first"));

    let others = [name(2), name(1), name(3)].map(|name| (name, Bytes::from_static(b"third")));
    let error = disk.storage.write_beside(LOCATION, others.to_vec()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert_eq!(file.opened().unwrap().read(0..5).unwrap(), Bytes::from_static(b"first"));
    assert_eq!(beside(&disk, path::DELETION_FOLDER), [disk.folder().join(name(1))], "those before it are gone");
}

/// Invariant I6. Also: whatever was interrupted before, the name of the folder is on disk once a file in it is.
#[tokio::test]
async fn a_write_of_which_any_request_is_refused_leaves_nothing_and_the_next_one_is_durable() {
    for at in 0.. {
        let fs = FaultFs::default();
        let disk = Disk::with(on(&fs)).await;
        fs.refuse(at, Io::StorageFull);
        let written = disk.storage.write_beside(LOCATION, three()).await;
        if fs.refuses() {
            written.unwrap();
            assert!(at > 9, "only {at} requests");
            break;
        }
        let error = written.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ResourceLimit, "request {at}: {error:?}");
        assert!(beside(&disk, path::DELETION_FOLDER).is_empty(), "request {at}");
        fs.clear();
        disk.storage.write_beside(LOCATION, three()).await.unwrap();
        assert_eq!(beside(&disk, path::DELETION_FOLDER).len(), 3);
        let asked = fs.asked();
        assert!(asked.contains(&Asked::SyncDir(disk.folder())), "request {at}: {asked:?}");
        assert!(asked.contains(&Asked::SyncDir(disk.folder().join(path::DELETION_FOLDER))), "request {at}: {asked:?}");
    }
}

/// An index that holds the number of rows.
#[derive(Debug)]
struct Counts {
    /// Whether an index cannot add rows, or cannot be finished.
    refuses: (bool, bool),
}

struct Count {
    rows: usize,
    refuses: (bool, bool),
}

impl IndexRows for Counts {
    fn begin(&self) -> Box<dyn RowIndex> {
        Box::new(Count { rows: 0, refuses: self.refuses })
    }
}

impl RowIndex for Count {
    fn add(&mut self, rows: &RecordBatch) -> Result<()> {
        self.rows += rows.num_rows();
        if self.refuses.0 { Err(Error::invalid("the index takes no rows")) } else { Ok(()) }
    }

    fn memory_bytes(&self) -> u64 {
        8
    }

    fn finish(self: Box<Self>, file: &DataFile) -> Result<Bytes> {
        assert_eq!(file.rows, self.rows as u64);
        if self.refuses.1 {
            return Err(Error::invalid("the index has no end"));
        }
        Ok(self.rows.to_string().into())
    }
}

fn indexed(streams: usize, refuses: (bool, bool)) -> WriteRequest {
    let batch = |from: i64| {
        let numbers: Int64Array = (from..from + 1_000).collect();
        RecordBatch::try_from_iter([("n", Arc::new(numbers) as _)]).unwrap()
    };
    let streams = (0..streams).map(|_| rows(vec![batch(0), batch(5)])).collect();
    let index: Arc<dyn IndexRows> = Arc::new(Counts { refuses });
    WriteRequest { options: files_only(), index: Some(index), ..request(batch(0).schema(), streams) }
}

#[tokio::test]
async fn each_data_file_has_an_index_that_goes_with_it() {
    let disk = Disk::new().await;
    let files = disk.storage.write(indexed(3, (false, false))).await.unwrap();
    assert_eq!(files.len(), 3);
    for new in &files {
        let index = disk.storage.open_beside(LOCATION, &path::key_index(new.file.id)).await.unwrap();
        assert_eq!(index.read(0..index.bytes()).unwrap(), Bytes::from_static(b"2000"));
    }
    let orphans = disk.storage.orphans(LOCATION, &std::collections::HashSet::new()).await.unwrap();
    assert_eq!(orphans.len(), 6, "{orphans:?}");
    let names: Vec<String> = files.iter().map(|new| path::data_file(new.file.id, &[])).collect();
    assert_eq!(disk.storage.remove_files(LOCATION, &names[..2]).await.unwrap(), 2);
    assert_eq!(beside(&disk, path::KEY_FOLDER), [disk.folder().join(path::key_index(files[2].file.id))]);
    disk.storage.write_beside(LOCATION, one(name(1), Bytes::from_static(b"x"))).await.unwrap();
    disk.storage.remove_table_folder(LOCATION, TABLE).await.unwrap();
    assert!(!disk.folder().exists());
}

/// Invariant I6.
#[tokio::test]
async fn a_write_whose_index_fails_leaves_nothing() {
    for refuses in [(true, false), (false, true)] {
        let disk = Disk::new().await;
        let error = disk.storage.write(indexed(2, refuses)).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error:?}");
        assert!(disk.data_files().is_empty() && beside(&disk, path::KEY_FOLDER).is_empty());
    }
    for at in 0.. {
        let fs = FaultFs::default();
        let disk = Disk::with(on(&fs)).await;
        fs.refuse(at, Io::StorageFull);
        let written = disk.storage.write(indexed(1, (false, false))).await;
        if fs.refuses() {
            written.unwrap();
            assert!(at > 8, "only {at} requests");
            break;
        }
        let error = written.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ResourceLimit, "request {at}: {error:?}");
        assert!(disk.data_files().is_empty() && beside(&disk, path::KEY_FOLDER).is_empty(), "request {at}");
    }
}
