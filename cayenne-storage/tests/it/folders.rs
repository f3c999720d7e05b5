//! The folder of a table: created once, marked, listed, and removed without touching anything else.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use cayenne_format::{ErrorKind, FileId, PartitionValue, TableId, Value, path};
use cayenne_storage::{Fs, LocalFs, Orphan};

use crate::disk::{Disk, LOCATION, TABLE, With};
use crate::fault_fs::{Asked, FaultFs};
use crate::sizes::noise;

const OTHER: TableId = TableId::from_bytes([9; 16]);

fn name(number: u8) -> String {
    path::data_file(FileId::from_bytes([number; 16]), &[])
}

fn partitioned(number: u8) -> String {
    let value = |text: &str| PartitionValue { key: text.into(), value: Some(Value::Text("a/b".into())) };
    path::data_file(FileId::from_bytes([number; 16]), &[value("region"), value("year")])
}

fn put(folder: &Path, name: &str) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, name).unwrap();
}

#[tokio::test]
async fn a_folder_is_made_once_for_a_table_and_never_for_another() {
    let disk = Disk::new().await;
    disk.storage.create_table_folder(LOCATION, TABLE).await.unwrap();
    let error = disk.storage.create_table_folder(LOCATION, OTHER).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    let marker = std::fs::read_to_string(disk.folder().join("_table.json")).unwrap();
    assert_eq!(marker, format!("{{\"format_version\":1,\"table_id\":\"{TABLE}\"}}"));
}

#[tokio::test]
async fn every_name_on_the_way_to_a_new_folder_is_flushed() {
    let fs = FaultFs::default();
    let disk = Disk::with(With { fs: Arc::new(fs.clone()), ..With::default() }).await;
    let asked = fs.asked();
    let at = |wanted: &Asked| asked.iter().rposition(|asked| asked == wanted).unwrap();
    let made = at(&Asked::CreateDir);
    assert!(at(&Asked::SyncFile) > made);
    for folder in [disk.folder(), disk.dir.path().join("data"), disk.dir.path().to_owned()] {
        assert!(at(&Asked::SyncDir(folder)) > made);
    }
}

#[tokio::test]
async fn a_marker_that_cannot_be_read_is_reported() {
    let disk = Disk::new().await;
    for text in ["", "{", "{\"table_id\":7}", "{\"table_id\":\"x\"}"] {
        std::fs::write(disk.folder().join("_table.json"), text).unwrap();
        let error = disk.storage.create_table_folder(LOCATION, TABLE).await.unwrap_err();
        assert_eq!((error.kind(), error.stable_code()), (ErrorKind::Corrupt, "damaged-marker"), "{text}");
        assert!(disk.storage.remove_table_folder(LOCATION, TABLE).await.is_err());
    }
    std::fs::write(disk.folder().join("_table.json"), "{\"format_version\":2}").unwrap();
    let error = disk.storage.create_table_folder(LOCATION, TABLE).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

#[tokio::test]
async fn orphans_are_the_data_files_that_nobody_names() {
    let disk = Disk::new().await;
    let folder = disk.folder();
    for name in [name(1), name(2), partitioned(3), partitioned(4)] {
        put(&folder, &name);
    }
    let upper = name(0xab).to_uppercase().replace(".VORTEX", ".vortex");
    for other in
        ["notes.txt", "x.vortex", "_keys/a.vortex", "other/00000000-0000-0000-0000-000000000000.vortex", &upper]
    {
        put(&folder, other);
    }
    std::os::unix::fs::symlink("/", folder.join("k=v")).unwrap();
    let named = HashSet::from([name(1), partitioned(3)]);
    let mut orphans = disk.storage.orphans(LOCATION, &named).await.unwrap();
    orphans.sort_by(|a, b| a.name.cmp(&b.name));
    let expected = [name(2), partitioned(4)].map(|name| Orphan { bytes: name.len() as u64, name });
    assert_eq!(orphans, expected);
    assert!(disk.storage.orphans("nowhere", &named).await.unwrap().is_empty());
}

#[tokio::test]
async fn removed_files_are_counted_and_missing_ones_are_fine() {
    let disk = Disk::new().await;
    put(&disk.folder(), &name(1));
    let removed = disk.storage.remove_files(LOCATION, &[name(1), name(2)]).await.unwrap();
    assert_eq!(removed, 1);
    assert!(disk.data_files().is_empty());
}

#[tokio::test]
async fn a_folder_is_removed_with_what_cayenne_wrote() {
    let disk = Disk::new().await;
    disk.write(vec![noise(0, 1000)]).await.unwrap();
    put(&disk.folder(), &partitioned(3));
    disk.storage.remove_table_folder(LOCATION, TABLE).await.unwrap();
    assert!(!disk.folder().exists());
    disk.storage.remove_table_folder(LOCATION, TABLE).await.unwrap();
}

#[tokio::test]
async fn what_others_put_into_a_folder_stays() {
    let disk = Disk::new().await;
    let outside = disk.dir.path().join("outside");
    put(&outside, &name(1));
    std::os::unix::fs::symlink(&outside, disk.folder().join("k=v")).unwrap();
    std::os::unix::fs::symlink(outside.join(name(1)), disk.folder().join(name(2))).unwrap();
    put(&disk.folder(), "notes.txt");
    disk.storage.remove_table_folder(LOCATION, TABLE).await.unwrap();
    assert!(disk.folder().join("notes.txt").exists());
    assert!(outside.join(name(1)).exists(), "a link is never followed");
}

#[tokio::test]
async fn a_folder_of_another_table_or_of_nobody_is_not_removed() {
    let disk = Disk::new().await;
    put(&disk.folder(), &name(1));
    let error = disk.storage.remove_table_folder(LOCATION, OTHER).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    std::fs::remove_file(disk.folder().join("_table.json")).unwrap();
    let error = disk.storage.remove_table_folder(LOCATION, TABLE).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(disk.folder().join(name(1)).exists());
    std::os::unix::fs::symlink(disk.folder(), disk.dir.path().join("data/link")).unwrap();
    assert!(disk.storage.orphans("link", &HashSet::new()).await.is_err(), "a link is never followed");
}

#[test]
fn a_lock_is_held_once_and_free_when_dropped() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.lock");
    let held = LocalFs.try_lock(&path).unwrap();
    assert!(held.is_some());
    assert!(LocalFs.try_lock(&path).unwrap().is_none());
    drop(held);
    assert!(LocalFs.try_lock(&path).unwrap().is_some());
    std::os::unix::fs::symlink(&path, dir.path().join("link.lock")).unwrap();
    assert!(LocalFs.try_lock(&dir.path().join("link.lock")).is_err());
}
