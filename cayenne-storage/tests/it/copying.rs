//! Copying data files from one folder to another: each arrives whole, or nothing arrives.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cayenne_format::{ErrorKind, Location, NewDataFile, PartitionValue, Value, path};

use crate::disk::{Disk, LOCATION, With};
use crate::fault_fs::{Asked, FaultFs};
use crate::sizes::noise;

/// Several data files, one of them in a partition, and an inline one.
async fn files(disk: &Disk) -> Vec<NewDataFile> {
    let mut files = disk.write(vec![noise(0, 30_000)]).await.unwrap();
    let mut partitioned = disk.write(vec![noise(7, 1000)]).await.unwrap().remove(0);
    let from = disk.path(&partitioned.file);
    partitioned.file.partition = vec![PartitionValue { key: "k".into(), value: Some(Value::Text("a/b".into())) }];
    let name = path::data_file(partitioned.file.id, &partitioned.file.partition);
    let to = disk.folder().join(&name);
    std::fs::create_dir_all(to.parent().unwrap()).unwrap();
    std::fs::rename(from, to).unwrap();
    partitioned.file.location = Location::Path(name);
    files.push(partitioned);
    let [_, inline] = disk.write_both_ways(&[noise(0, 10)]).await;
    files.extend(inline);
    files
}

fn on_disk(files: &[NewDataFile]) -> impl Iterator<Item = &String> {
    files.iter().filter_map(|new| match &new.file.location {
        Location::Path(name) => Some(name),
        Location::Inline(_) => None,
    })
}

/// The files, each with its own name.
fn named(files: Vec<NewDataFile>) -> Vec<(String, NewDataFile)> {
    let name = |new: &NewDataFile| on_disk(std::slice::from_ref(new)).next().cloned().unwrap_or_default();
    files.into_iter().map(|new| (name(&new), new)).collect()
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() { &mut folders } else { &mut found }.push(entry.path());
        }
    }
    found
}

/// The code of the error, if it has one of its own, and the damage that is done to a file.
type Damage = (&'static str, fn(&Path));

fn same(one: &Path, other: &Path) -> bool {
    std::fs::read(one).unwrap() == std::fs::read(other).unwrap()
}

#[tokio::test]
async fn files_are_copied_out_and_in_byte_for_byte() {
    let (disk, other) = (Disk::new().await, Disk::new().await);
    let files = files(&disk).await;
    let out = disk.dir.path().join("out");
    std::fs::create_dir(&out).unwrap();
    disk.storage.copy_out(LOCATION, files.clone(), &out).await.unwrap();
    assert_eq!(files_below(&out).len(), 2, "an inline file has no file");
    other.storage.copy_in(&out, LOCATION, named(files.clone())).await.unwrap();
    for name in on_disk(&files) {
        assert!(same(&disk.folder().join(name), &out.join(name)));
        assert!(same(&disk.folder().join(name), &other.folder().join(name)));
    }
}

#[tokio::test]
async fn a_file_that_is_not_what_was_written_is_not_copied_and_nothing_is_left() {
    let damages: [Damage; 6] = [
        ("damaged-file", |at| {
            let mut bytes = std::fs::read(at).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            std::fs::write(at, bytes).unwrap();
        }),
        ("damaged-file", |at| {
            let bytes = std::fs::read(at).unwrap();
            std::fs::write(at, &bytes[..bytes.len() - 1]).unwrap();
        }),
        ("damaged-file", |at| std::fs::write(at, [std::fs::read(at).unwrap(), vec![0]].concat()).unwrap()),
        ("missing-data-file", |at| std::fs::remove_file(at).unwrap()),
        ("", |at| {
            let real = at.with_extension("real");
            std::fs::rename(at, &real).unwrap();
            std::os::unix::fs::symlink(real, at).unwrap();
        }),
        ("", |at| {
            std::fs::remove_file(at).unwrap();
            std::fs::create_dir(at).unwrap();
        }),
    ];
    for (number, (code, damage)) in damages.into_iter().enumerate() {
        let disk = Disk::new().await;
        let files = files(&disk).await;
        let out = disk.dir.path().join("out");
        std::fs::create_dir(&out).unwrap();
        // The last one: those before it are copied already.
        damage(&disk.folder().join(on_disk(&files).last().unwrap()));
        let error = disk.storage.copy_out(LOCATION, files, &out).await.unwrap_err();
        assert!(code.is_empty() || error.stable_code() == code, "damage {number}: {error:?}");
        assert!(error.facts().any(|(name, _)| name == "file"), "damage {number}: {error:?}");
        assert_eq!(files_below(&out), [] as [PathBuf; 0], "damage {number}");
    }
}

#[tokio::test]
async fn a_file_with_other_checksums_in_its_record_is_not_copied() {
    let disk = Disk::new().await;
    let files = files(&disk).await;
    let out = disk.dir.path().join("out");
    std::fs::create_dir(&out).unwrap();
    let mut other = files.clone();
    other[0].blocks = files[1].blocks.clone();
    let mut hash = files.clone();
    hash[0].file.hash = files[1].file.hash;
    for wrong in [other, hash] {
        let error = disk.storage.copy_out(LOCATION, wrong, &out).await.unwrap_err();
        assert_eq!(error.stable_code(), "damaged-file");
        assert!(files_below(&out).is_empty());
    }
}

#[tokio::test]
async fn whatever_request_the_disk_refuses_no_copy_is_left() {
    let fs = FaultFs::default();
    let disk = Disk::with(With { fs: Arc::new(fs.clone()), ..With::default() }).await;
    let files = files(&disk).await;
    let out = disk.dir.path().join("out");
    std::fs::create_dir(&out).unwrap();
    for request in 0.. {
        fs.refuse(request, io::ErrorKind::StorageFull);
        let copied = disk.storage.copy_out(LOCATION, files.clone(), &out).await;
        if fs.refuses() {
            copied.unwrap();
            assert!(request > 8, "a copy asks more than {request} times of the disk");
            break;
        }
        assert_eq!(copied.unwrap_err().kind(), ErrorKind::ResourceLimit, "request {request}");
        assert!(files_below(&out).is_empty(), "request {request}");
    }
}

#[tokio::test]
async fn copies_and_the_folders_made_for_them_are_flushed() {
    let fs = FaultFs::default();
    let disk = Disk::with(With { fs: Arc::new(fs.clone()), ..With::default() }).await;
    let files = files(&disk).await;
    let out = disk.dir.path().join("out");
    std::fs::create_dir(&out).unwrap();
    fs.clear();
    disk.storage.copy_out(LOCATION, files.clone(), &out).await.unwrap();
    let asked = fs.asked();
    let last_made = asked.iter().rposition(|asked| matches!(asked, Asked::Create(_))).unwrap();
    for name in on_disk(&files) {
        let created = asked.iter().position(|asked| *asked == Asked::Create(out.join(name))).unwrap();
        assert!(asked[created..].contains(&Asked::SyncFile));
        let folder = out.join(name).parent().unwrap().to_owned();
        assert!(asked[last_made..].contains(&Asked::SyncDir(folder)), "{name}");
    }
    assert!(asked[last_made..].contains(&Asked::SyncDir(out)));
    assert_eq!(asked.iter().filter(|asked| **asked == Asked::SyncFile).count(), 2);
}

#[tokio::test]
async fn names_that_lead_out_are_refused_before_anything_is_touched() {
    let disk = Disk::new().await;
    let files = files(&disk).await;
    let out = disk.dir.path().join("out");
    std::fs::create_dir(&out).unwrap();
    for name in ["../x.vortex", "/etc/passwd", "a/../../x.vortex", "", ".", ".."] {
        let mut wrong = files[0].clone();
        wrong.file.location = Location::Path(name.into());
        let error = disk.storage.copy_out(LOCATION, vec![wrong.clone()], &out).await.unwrap_err();
        assert_eq!(error.stable_code(), "name-outside-folder", "{name}");
        let error = disk.storage.copy_in(&out, LOCATION, named(vec![wrong])).await.unwrap_err();
        assert_eq!(error.stable_code(), "name-outside-folder", "{name}");
    }
    assert!(disk.storage.copy_out("../x", files.clone(), &out).await.is_err());
    assert!(disk.storage.copy_in(&out, "/x", named(files)).await.is_err());
    assert!(files_below(&out).is_empty() && !disk.dir.path().join("x.vortex").exists());
}

#[tokio::test]
async fn a_file_that_is_there_already_is_neither_written_over_nor_removed() {
    let disk = Disk::new().await;
    let files = files(&disk).await;
    let out = disk.dir.path().join("out");
    std::fs::create_dir(&out).unwrap();
    let there = out.join(on_disk(&files).next().unwrap());
    std::fs::write(&there, "somebody else's").unwrap();
    disk.storage.copy_out(LOCATION, files, &out).await.unwrap_err();
    assert_eq!(std::fs::read(&there).unwrap(), b"somebody else's");
    assert_eq!(files_below(&out).len(), 1);
}
