//! Stored manifests: written whole or not at all, and read only if they are what was written.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use cayenne_format::{
    ErrorKind, Manifest, NewDataFile, Sequence, SourcePosition, TableName, TableOptions, TableState, Timestamp,
};
use cayenne_storage::StoredManifest;

use crate::disk::{Disk, LOCATION, TABLE, With};
use crate::fault_fs::{Asked, FaultFs};
use crate::sizes::noise;

fn sequence(number: u64) -> Sequence {
    Sequence::new(number).unwrap()
}

fn manifest(since: u64, at: u64, files: &[NewDataFile]) -> Manifest {
    let files = files.iter().cloned().map(|mut new| {
        new.file.added_at = sequence(at);
        new
    });
    let sources = vec![SourcePosition { stream: "orders".into(), position: at }];
    Manifest {
        table: TABLE,
        name: TableName::try_from("t").unwrap(),
        schema: noise(0, 0).schema(),
        options: TableOptions::default(),
        made_at: Timestamp(1),
        written_at: Timestamp(2),
        since: sequence(since),
        removed: Vec::new(),
        state: TableState { sequence: sequence(at), files: files.collect(), sources, ..TableState::default() },
    }
}

fn folder(disk: &Disk) -> PathBuf {
    disk.folder().join("_manifest")
}

async fn names(disk: &Disk) -> Vec<String> {
    disk.storage.manifests(LOCATION).await.unwrap().iter().map(StoredManifest::name).collect()
}

#[tokio::test]
async fn manifests_are_listed_by_their_sequences_and_read_back_as_they_were() {
    let disk = Disk::new().await;
    let files = disk.write(vec![noise(0, 1000)]).await.unwrap();
    assert!(names(&disk).await.is_empty() && disk.storage.manifests("nowhere").await.unwrap().is_empty());
    let written = [manifest(10, 11, &files), manifest(0, 9, &[]), manifest(0, 10, &files)];
    for manifest in &written {
        disk.storage.write_manifest(LOCATION, manifest).await.unwrap();
    }
    std::fs::write(folder(&disk).join("notes.txt"), "not ours").unwrap();
    std::fs::create_dir(folder(&disk).join("0-99.manifest")).unwrap();
    let stored = disk.storage.manifests(LOCATION).await.unwrap();
    assert_eq!(names(&disk).await, ["_manifest/0-9.manifest", "_manifest/0-10.manifest", "_manifest/10-11.manifest"]);
    for (stored, expected) in stored.iter().zip([&written[1], &written[2], &written[0]]) {
        assert_eq!(disk.storage.read_manifest(LOCATION, *stored).await.unwrap(), *expected);
        assert_eq!(stored.bytes, expected.encode().len() as u64);
    }
    disk.storage.remove_manifests(LOCATION, &stored).await.unwrap();
    disk.storage.remove_manifests(LOCATION, &stored).await.unwrap();
    assert!(names(&disk).await.is_empty());
}

#[tokio::test]
async fn whatever_request_the_disk_refuses_the_old_manifests_are_there_and_the_new_one_is_whole_or_not() {
    let fs = FaultFs::default();
    let disk = Disk::with(With { fs: Arc::new(fs.clone()), ..With::default() }).await;
    let files = disk.write(vec![noise(0, 1000)]).await.unwrap();
    for round in 0.. {
        let (old, new) = (manifest(0, 1, &files), manifest(0, 2, &files));
        disk.storage.write_manifest(LOCATION, &old).await.unwrap();
        fs.refuse(round, io::ErrorKind::StorageFull);
        let written = disk.storage.write_manifest(LOCATION, &new).await;
        if fs.refuses() {
            written.unwrap();
            assert!(round >= 6, "a manifest is made, filled, flushed, named, and its names flushed");
            break;
        }
        assert_eq!(written.unwrap_err().kind(), ErrorKind::ResourceLimit, "request {round}");
        let stored = disk.storage.manifests(LOCATION).await.unwrap();
        assert!(matches!(stored.len(), 1 | 2), "request {round}: {stored:?}");
        for (stored, expected) in stored.iter().zip([&old, &new]) {
            assert_eq!(disk.storage.read_manifest(LOCATION, *stored).await.unwrap(), *expected, "request {round}");
        }
        // The remains of it do not stand in the way.
        disk.storage.write_manifest(LOCATION, &new).await.unwrap();
        let stored = disk.storage.manifests(LOCATION).await.unwrap();
        disk.storage.remove_manifests(LOCATION, &stored).await.unwrap();
    }
}

#[tokio::test]
async fn a_manifest_has_its_name_only_after_its_bytes_are_on_the_disk() {
    let fs = FaultFs::default();
    let disk = Disk::with(With { fs: Arc::new(fs.clone()), ..With::default() }).await;
    fs.clear();
    disk.storage.write_manifest(LOCATION, &manifest(0, 1, &[])).await.unwrap();
    let asked = fs.asked();
    let at = |wanted: Asked| asked.iter().position(|asked| *asked == wanted).unwrap();
    assert!(at(Asked::SyncFile) < at(Asked::Rename));
    assert!(at(Asked::Rename) < at(Asked::SyncDir(folder(&disk))));
    assert!(at(Asked::Rename) < at(Asked::SyncDir(disk.folder())), "the folder of the manifests may be new");
}

#[tokio::test]
async fn a_manifest_with_any_bit_flipped_or_cut_anywhere_is_damaged() {
    let disk = Disk::new().await;
    let files = disk.write(vec![noise(0, 1000)]).await.unwrap();
    disk.storage.write_manifest(LOCATION, &manifest(0, 5, &files)).await.unwrap();
    let stored = disk.storage.manifests(LOCATION).await.unwrap()[0];
    let path = disk.folder().join(stored.name());
    let whole = std::fs::read(&path).unwrap();
    let refused = async |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        let error = disk.storage.read_manifest(LOCATION, stored).await.unwrap_err();
        assert!(error.to_string().contains("0-5.manifest"), "{error}");
        error
    };
    for byte in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[byte] ^= 1 << (byte % 8);
        let error = refused(&flipped).await;
        // A flipped bit of the version makes a future version.
        let is_version = (6..8).contains(&byte) && error.kind() == ErrorKind::Unsupported;
        assert!(is_version || error.stable_code() == "damaged-manifest", "byte {byte}: {error:?}");
        let error = refused(&whole[..byte]).await;
        assert_eq!(error.stable_code(), "damaged-manifest", "{byte} bytes: {error:?}");
    }
    let longer = [whole.as_slice(), &[0]].concat();
    assert_eq!(refused(&longer).await.stable_code(), "damaged-manifest");
}

#[tokio::test]
async fn a_manifest_under_the_name_of_another_one_is_damaged() {
    let disk = Disk::new().await;
    disk.storage.write_manifest(LOCATION, &manifest(0, 5, &[])).await.unwrap();
    let stored = disk.storage.manifests(LOCATION).await.unwrap()[0];
    for name in ["0-6.manifest", "1-5.manifest"] {
        std::fs::copy(disk.folder().join(stored.name()), folder(&disk).join(name)).unwrap();
    }
    for stored in disk.storage.manifests(LOCATION).await.unwrap() {
        let read = disk.storage.read_manifest(LOCATION, stored).await;
        assert_eq!(read.is_ok(), stored.name() == "_manifest/0-5.manifest");
        assert!(read.err().is_none_or(|error| error.stable_code() == "damaged-manifest"));
    }
}

#[tokio::test]
async fn a_manifest_that_claims_to_be_huge_is_refused_without_its_memory() {
    let disk = Disk::new().await;
    disk.storage.write_manifest(LOCATION, &manifest(0, 5, &[])).await.unwrap();
    let stored = disk.storage.manifests(LOCATION).await.unwrap()[0];
    let file = std::fs::OpenOptions::new().write(true).open(disk.folder().join(stored.name())).unwrap();
    file.set_len(1 << 43).unwrap();
    let error = disk.storage.read_manifest(LOCATION, stored).await.unwrap_err();
    assert_eq!(error.stable_code(), "damaged-manifest", "{error:?}");
}

#[tokio::test]
async fn links_in_place_of_manifests_are_not_followed() {
    let disk = Disk::new().await;
    disk.storage.write_manifest(LOCATION, &manifest(0, 5, &[])).await.unwrap();
    let stored = disk.storage.manifests(LOCATION).await.unwrap()[0];
    let (at, elsewhere) = (disk.folder().join(stored.name()), disk.dir.path().join("elsewhere"));
    std::fs::rename(&at, &elsewhere).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &at).unwrap();
    assert!(disk.storage.read_manifest(LOCATION, stored).await.is_err());
    std::fs::remove_dir_all(folder(&disk)).unwrap();
    let outside = disk.dir.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::os::unix::fs::symlink(&outside, folder(&disk)).unwrap();
    assert!(disk.storage.manifests(LOCATION).await.is_err());
    disk.storage.write_manifest(LOCATION, &manifest(0, 6, &[])).await.unwrap_err();
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0, "nothing is written where a link leads");
}

#[tokio::test]
async fn a_folder_that_cannot_be_looked_into_is_not_taken_for_none() {
    let fs = FaultFs::default();
    let disk = Disk::with(With { fs: Arc::new(fs.clone()), ..With::default() }).await;
    disk.storage.write_manifest(LOCATION, &manifest(0, 5, &[])).await.unwrap();
    fs.refuse(0, io::ErrorKind::PermissionDenied);
    assert_eq!(disk.storage.manifests(LOCATION).await.unwrap_err().stable_code(), "no-permission");
    std::fs::remove_dir_all(folder(&disk)).unwrap();
    std::fs::write(folder(&disk), "mine").unwrap();
    assert_eq!(disk.storage.manifests(LOCATION).await.unwrap_err().stable_code(), "no-manifest-folder");
}

#[tokio::test]
async fn the_folder_of_a_table_is_removed_with_its_manifests_and_not_with_what_others_put_there() {
    let disk = Disk::new().await;
    disk.storage.write_manifest(LOCATION, &manifest(0, 5, &[])).await.unwrap();
    std::fs::write(folder(&disk).join("writing.partial"), "broken off").unwrap();
    disk.storage.remove_table_folder(LOCATION, TABLE).await.unwrap();
    assert!(!disk.folder().exists());

    disk.storage.create_table_folder(LOCATION, TABLE).await.unwrap();
    disk.storage.write_manifest(LOCATION, &manifest(0, 5, &[])).await.unwrap();
    std::fs::write(folder(&disk).join("notes.txt"), "not ours").unwrap();
    disk.storage.remove_table_folder(LOCATION, TABLE).await.unwrap();
    assert!(folder(&disk).join("notes.txt").exists());
    assert_eq!(std::fs::read_dir(folder(&disk)).unwrap().count(), 1);
}
