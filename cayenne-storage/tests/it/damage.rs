//! Files that are not what was written: the result is always an error with the name of the file, never a row.

use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, StringArray};
use cayenne_format::{Error, ErrorKind, NewDataFile};
use cayenne_storage::find_error;

use crate::disk::{Disk, LOCATION, TABLE, whole};
use crate::sizes::noise;

fn rows() -> RecordBatch {
    let noise = noise(0, 60_000);
    let text = (0..60_000).map(|row| format!("a text of row {row} that is long enough {}", row * 7 % 1013));
    let text: ArrayRef = Arc::new(StringArray::from_iter_values(text));
    let columns = [("number", noise.column(0).clone()), ("noise", noise.column(1).clone()), ("text", text)];
    RecordBatch::try_from_iter(columns).unwrap()
}

/// Reads without a cache.
async fn read(disk: &Disk, file: &NewDataFile) -> Result<RecordBatch, Error> {
    disk.cold().read(file, rows().schema()).await.map(|batches| whole(&batches))
}

fn flip(path: &Path, offset: u64, bit: u8) {
    let file = std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    byte[0] ^= 1 << bit;
    file.write_all_at(&byte, offset).unwrap();
}

fn fact<'a>(error: &'a Error, name: &str) -> &'a str {
    error.facts().find(|(fact, _)| *fact == name).unwrap_or_else(|| panic!("{error:?} does not tell the {name}")).1
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_flipped_bit_is_found() {
    let disk = Disk::new().await;
    let rows = rows();
    let files = disk.write(vec![rows.clone()]).await.unwrap();
    let (file, path) = (&files[0], disk.path(&files[0].file));
    assert!(file.file.bytes > 5 * 65_536, "several blocks: {}", file.file.bytes);
    // All over the file, and every 97 bytes in the footer.
    let spread = (0..150).map(|step| step * (file.file.bytes - 1) / 149);
    let footer = (0..80).map(|step| file.file.bytes - 1 - step * 97);
    for (index, offset) in spread.chain(footer).enumerate() {
        let bit = u8::try_from(index % 8).unwrap();
        flip(&path, offset, bit);
        let error = read(&disk, file).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "at {offset}: {error:?}");
        assert_eq!(error.stable_code(), "damaged-block", "at {offset}: {error:?}");
        assert_eq!(fact(&error, "block"), (offset / 65_536).to_string());
        assert_eq!(fact(&error, "file"), path.display().to_string());
        assert_eq!(fact(&error, "table"), TABLE.to_string());
        let error = disk.storage.verify(LOCATION, &file.file).await.unwrap_err();
        assert_eq!((error.kind(), error.stable_code()), (ErrorKind::Corrupt, "damaged-file"));
        flip(&path, offset, bit);
    }
    assert_eq!(read(&disk, file).await.unwrap(), rows);
}

async fn refused(disk: &Disk, file: &NewDataFile, kind: ErrorKind, code: &str) {
    let path = disk.path(&file.file).display().to_string();
    let error = read(disk, file).await.unwrap_err();
    assert_eq!((error.kind(), error.stable_code()), (kind, code), "{error:?}");
    assert_eq!((fact(&error, "file"), fact(&error, "table")), (path.as_str(), TABLE.to_string().as_str()));
    let error = disk.storage.verify(LOCATION, &file.file).await.unwrap_err();
    assert_eq!((error.kind(), error.stable_code()), (kind, code), "{error:?}");
}

#[tokio::test]
async fn other_lengths_are_refused() {
    let disk = Disk::new().await;
    let files = disk.write(vec![rows()]).await.unwrap();
    let (record, path) = (&files[0], disk.path(&files[0].file));
    let bytes = std::fs::read(&path).unwrap();
    for length in [0, 1, 7, bytes.len() / 2, bytes.len() - 65_536, bytes.len() - 1] {
        std::fs::write(&path, &bytes[..length]).unwrap();
        refused(&disk, record, ErrorKind::Corrupt, "damaged-file").await;
    }
    std::fs::write(&path, [bytes.as_slice(), &[0]].concat()).unwrap();
    refused(&disk, record, ErrorKind::Corrupt, "damaged-file").await;
}

#[tokio::test]
async fn a_missing_file_is_named() {
    let disk = Disk::new().await;
    let files = disk.write(vec![rows()]).await.unwrap();
    std::fs::remove_file(disk.path(&files[0].file)).unwrap();
    refused(&disk, &files[0], ErrorKind::NotFound, "missing-data-file").await;
}

#[tokio::test]
async fn links_pipes_and_folders_are_refused_without_waiting() {
    let disk = Disk::new().await;
    let files = disk.write(vec![rows()]).await.unwrap();
    let path = disk.path(&files[0].file);
    let elsewhere = disk.dir.path().join("elsewhere");
    std::fs::rename(&path, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
    refused(&disk, &files[0], ErrorKind::Corrupt, "damaged-file").await;
    std::fs::remove_file(&path).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::RUSR).unwrap();
    refused(&disk, &files[0], ErrorKind::Corrupt, "damaged-file").await;
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    refused(&disk, &files[0], ErrorKind::Corrupt, "damaged-file").await;
}

#[tokio::test]
async fn names_that_lead_out_of_the_folder_are_refused() {
    let disk = Disk::new().await;
    let mut files = disk.write(vec![rows()]).await.unwrap();
    for name in ["../x.vortex", "/etc/passwd", "", ".", "a/../../x"] {
        files[0].file.location = cayenne_format::Location::Path(name.into());
        let error = disk.read(&files[0], rows().schema()).await.unwrap_err();
        assert_eq!(error.stable_code(), "name-outside-folder", "{name}");
        assert!(disk.storage.remove_files(LOCATION, &[name.into()]).await.is_err());
    }
}

#[tokio::test]
async fn checksums_of_another_file_are_refused() {
    let disk = Disk::new().await;
    let rows = rows();
    let mut files = disk.write(vec![rows.clone()]).await.unwrap();
    files[0].blocks = disk.write(vec![rows.slice(0, 10)]).await.unwrap()[0].blocks.clone();
    let error = read(&disk, &files[0]).await.unwrap_err();
    assert_eq!((error.kind(), error.stable_code()), (ErrorKind::Corrupt, "damaged-file"));
}

#[tokio::test]
async fn the_reader_keeps_its_error_through_vortex_and_beside_it() {
    use vortex::file::OpenOptionsSessionExt;
    let disk = Disk::new().await;
    let files = disk.write(vec![rows()]).await.unwrap();
    flip(&disk.path(&files[0].file), files[0].file.bytes - 1, 0);
    let cold = disk.cold();
    let request = crate::disk::read_request(&files[0], Arc::default());
    let counters = Arc::clone(&request.counters);
    let reader = cold.storage.reader(request);
    let error = cold.storage.session().open_options().open(reader).await.map(|_| ()).unwrap_err();
    let error = std::io::Error::other(error.with_context("while a test reads it"));
    assert_eq!(find_error(&error).unwrap().stable_code(), "damaged-block");
    assert_eq!(counters.failure().unwrap().stable_code(), "damaged-block");
    assert!(find_error(&std::io::Error::other("something else")).is_none());
}
