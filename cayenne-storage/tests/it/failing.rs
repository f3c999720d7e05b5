//! A disk that refuses, a stream that fails, a step that fails: nothing is left behind.

use std::io;
use std::sync::Arc;

use arrow_array::RecordBatch;
use cayenne_format::{Environment, Error, ErrorKind, Step, Steps};
use futures::{StreamExt, stream};
use parking_lot::Mutex;

use crate::disk::{Disk, LOCATION, TABLE, With, options, request, rows};
use crate::fault_fs::{Asked, FaultFs};
use crate::sizes::noise;

fn batches() -> Vec<RecordBatch> {
    (0..40).map(|batch| noise(batch * 8192, 8192)).collect()
}

async fn write_two_streams(disk: &Disk) -> cayenne_format::Result<usize> {
    let mut request = request(noise(0, 0).schema(), vec![rows(batches()), rows(vec![noise(0, 1000)])]);
    request.options = options(1);
    Ok(disk.storage.write(request).await?.len())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_request_the_disk_refuses_no_file_is_left() {
    let fs = FaultFs::default();
    let disk = Disk::with(With { fs: Arc::new(fs.clone()), ..With::default() }).await;
    for (kind, expected) in
        [(io::ErrorKind::StorageFull, ErrorKind::ResourceLimit), (io::ErrorKind::Other, ErrorKind::Unavailable)]
    {
        for request in 0.. {
            fs.refuse(request, kind);
            let written = write_two_streams(&disk).await;
            if fs.refuses() {
                assert!(request > 10, "a write asks more than {request} times of the disk");
                assert!(written.unwrap() > 2);
                break;
            }
            let error = written.unwrap_err();
            assert_eq!(error.kind(), expected, "request {request}: {error:?}");
            assert!(error.facts().any(|(name, _)| name == "file" || name == "folder"), "{error:?}");
            assert!(disk.data_files().is_empty(), "request {request}");
            assert_eq!(disk.pool.reserved(), 0);
        }
        fs.refuse(usize::MAX, kind);
        for name in disk.data_files() {
            std::fs::remove_file(disk.folder().join(name)).unwrap();
        }
    }
}

#[tokio::test]
async fn whatever_request_fails_while_a_folder_is_made_it_can_be_made_afterwards() {
    for request in 0.. {
        let fs = FaultFs::default();
        let disk = Disk::bare(With { fs: Arc::new(fs.clone()), ..With::default() });
        fs.refuse(request, io::ErrorKind::StorageFull);
        let made = disk.storage.create_table_folder(LOCATION, TABLE).await;
        if fs.refuses() {
            made.unwrap();
            break;
        }
        made.unwrap_err();
        let again = disk.storage.create_table_folder(LOCATION, TABLE).await;
        // A marker that was created but not filled is reported, never guessed.
        if let Err(error) = again {
            assert_eq!(error.stable_code(), "damaged-marker");
        }
    }
}

#[tokio::test]
async fn the_error_of_a_stream_is_the_error_of_the_write() {
    let disk = Disk::new().await;
    let failing = stream::iter([Ok(noise(0, 8192)), Err(Error::conflict("the source has moved"))]).boxed();
    let request = request(noise(0, 0).schema(), vec![rows(batches()), failing]);
    let error = disk.storage.write(request).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(disk.data_files().is_empty());
}

#[tokio::test]
async fn a_stream_that_panics_is_an_error() {
    let disk = Disk::new().await;
    let panicking = stream::once(async { panic!("the source is broken") }).boxed();
    let error = disk.storage.write(request(noise(0, 0).schema(), vec![panicking])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Internal);
    assert!(error.to_string().contains("the source is broken"), "{error}");
}

#[derive(Debug, Default)]
struct StopAt {
    stop: Option<Step>,
    seen: Mutex<Vec<Step>>,
}

impl Steps for StopAt {
    fn before(&self, step: Step) -> cayenne_format::Result<()> {
        self.seen.lock().push(step);
        if self.stop == Some(step) { Err(Error::unavailable("stopped").with("step", step)) } else { Ok(()) }
    }
}

fn stopping(stop: Option<Step>) -> (With, Arc<StopAt>) {
    let steps = Arc::new(StopAt { stop, ..StopAt::default() });
    let environment = Environment { steps: Arc::clone(&steps) as Arc<dyn Steps>, ..Environment::default() };
    (With { environment, ..With::default() }, steps)
}

#[tokio::test]
async fn the_steps_of_a_write_are_told_in_order() {
    let (with, steps) = stopping(None);
    let disk = Disk::with(with).await;
    let files = disk.write(vec![noise(0, 1000)]).await.unwrap();
    let cayenne_format::Location::Path(name) = files[0].file.location.clone() else { panic!("a file is on the disk") };
    disk.storage.remove_files(LOCATION, &[name]).await.unwrap();
    let expected = [
        Step::CreateTableFolder,
        Step::WriteTableMarker,
        Step::CreateDataFile,
        Step::WriteDataFile,
        Step::SyncDataFile,
        Step::SyncFolder,
        Step::RemoveFiles,
    ];
    assert_eq!(*steps.seen.lock(), expected);
}

#[tokio::test]
async fn a_write_stopped_at_any_step_leaves_nothing() {
    for step in [Step::CreateDataFile, Step::WriteDataFile, Step::SyncDataFile, Step::SyncFolder] {
        let (with, _) = stopping(Some(step));
        let disk = Disk::with(with).await;
        let error = disk.write(vec![noise(0, 1000)]).await.unwrap_err();
        assert!(error.to_string().contains(step.name()), "{error}");
        assert!(disk.data_files().is_empty(), "{step}");
    }
}

#[tokio::test]
async fn a_small_write_flushes_one_file_and_one_folder() {
    let fs = FaultFs::default();
    let disk = Disk::with(With { fs: Arc::new(fs.clone()), ..With::default() }).await;
    fs.clear();
    let files = disk.write(vec![noise(0, 1000)]).await.unwrap();
    let expected = [
        Asked::Create(disk.path(&files[0].file)),
        Asked::Write(files[0].file.bytes),
        Asked::SyncFile,
        Asked::SyncDir(disk.folder()),
    ];
    assert_eq!(fs.asked(), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_files_flush_their_folder_once() {
    let fs = FaultFs::default();
    let disk = Disk::with(With { fs: Arc::new(fs.clone()), ..With::default() }).await;
    fs.clear();
    let files = write_two_streams(&disk).await.unwrap();
    let count = |wanted: &Asked| fs.asked().iter().filter(|asked| *asked == wanted).count();
    assert_eq!(count(&Asked::SyncFile), files);
    assert_eq!(count(&Asked::SyncDir(disk.folder())), 1);
}

#[tokio::test]
async fn whatever_request_the_disk_refuses_a_read_names_the_file() {
    let fs = FaultFs::default();
    let disk = Disk::with(With { fs: Arc::new(fs.clone()), ..With::default() }).await;
    let rows = noise(0, 30_000);
    let files = disk.write(vec![rows.clone()]).await.unwrap();
    for request in 0.. {
        // A cache answers what was read before the refusal, so each attempt has a file that no cache knows.
        let files = if request == 0 { files.clone() } else { disk.write(vec![rows.clone()]).await.unwrap() };
        fs.refuse(request, io::ErrorKind::Other);
        let read = disk.read(&files[0], rows.schema()).await;
        if fs.refuses() {
            assert!(request >= 2, "a read opens the file and reads from it");
            read.unwrap();
            break;
        }
        let error = read.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "request {request}: {error:?}");
        let path = disk.path(&files[0].file).display().to_string();
        assert!(error.facts().any(|(name, value)| name == "file" && value == path), "{error:?}");
        assert_eq!(disk.pool.reserved(), 0);
    }
}
