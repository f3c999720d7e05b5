//! Reading a metastore that this process does not write creates no file, and sees the commits of other processes.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

use cayenne_format::ErrorKind;
use cayenne_metastore::Metastore;
use cayenne_metastore::conformance::Samples;

use crate::fixture::{append, contents, fill, open, open_read_only, table};

fn files(folder: &Path) -> Vec<(String, Vec<u8>, SystemTime)> {
    let mut files: Vec<_> = folder
        .read_dir()
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let modified = entry.metadata().unwrap().modified().unwrap();
            (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap(), modified)
        })
        .collect();
    files.sort();
    files
}

#[tokio::test]
async fn closed_metastore_is_read_without_making_or_changing_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let metastore = open(&path).await;
    fill(&metastore, &Samples::new(1)).await;
    let truth = contents(&metastore).await.unwrap();
    metastore.close().await.unwrap();
    let before = files(folder.path());
    let reader = open_read_only(&path).await.unwrap();
    assert_eq!(contents(&reader).await.unwrap(), truth);
    assert!(files(folder.path()) == before, "reading touched the folder");
    reader.close().await.unwrap();
    assert!(files(folder.path()) == before, "closing touched the folder");
}

#[tokio::test]
async fn commits_of_a_writer_are_seen_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let samples = Samples::new(1);
    let writer = open(&path).await;
    let of = table(&writer, &samples, "t").await;
    let reader = open_read_only(&path).await.unwrap();
    for expected in 1..=20 {
        writer.commit(&[append(&samples, of)]).await.unwrap();
        assert_eq!(reader.load_snapshot(of.0, None).await.unwrap().sequence().number(), expected);
    }
}

#[tokio::test]
async fn writers_may_come_and_go() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let samples = Samples::new(1);
    let first = open(&path).await;
    let of = table(&first, &samples, "t").await;
    first.close().await.unwrap();
    let reader = open_read_only(&path).await.unwrap();
    for expected in 1..=10 {
        let writer = open(&path).await;
        writer.commit(&[append(&samples, of)]).await.unwrap();
        if expected % 2 == 0 {
            assert_eq!(reader.load_snapshot(of.0, None).await.unwrap().sequence().number(), expected);
        }
        writer.close().await.unwrap();
        assert_eq!(reader.load_snapshot(of.0, None).await.unwrap().sequence().number(), expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reading_while_writers_open_and_close_is_never_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let samples = Samples::new(1);
    let first = open(&path).await;
    let of = table(&first, &samples, "t").await;
    first.close().await.unwrap();
    let reader = open_read_only(&path).await.unwrap();
    let commits: Vec<_> = (0..60).map(|_| append(&samples, of)).collect();
    let writing = tokio::spawn(async move {
        for commits in commits.chunks(3) {
            let writer = open(&path).await;
            for commit in commits {
                writer.commit(std::slice::from_ref(commit)).await.unwrap();
            }
            writer.close().await.unwrap();
        }
    });
    let mut latest = 0;
    while latest < 60 {
        let snapshot = match reader.load_snapshot(of.0, None).await {
            Ok(snapshot) => snapshot,
            Err(error) if error.stable_code() == "metastore-busy" => continue,
            Err(error) => panic!("{error:?}"),
        };
        assert!(snapshot.sequence().number() >= latest, "a reader went back in time");
        latest = snapshot.sequence().number();
        assert_eq!(snapshot.files().len() as u64, latest);
    }
    writing.await.unwrap();
}

#[tokio::test]
async fn what_a_writer_left_that_did_not_close_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let metastore = open(&path).await;
    fill(&metastore, &Samples::new(1)).await;
    let truth = contents(&metastore).await.unwrap();
    let left = folder.path().join("b.db");
    fs::copy(&path, &left).unwrap();
    fs::copy(path.with_extension("db-wal"), left.with_extension("db-wal")).unwrap();
    let reader = open_read_only(&left).await.unwrap();
    assert_eq!(contents(&reader).await.unwrap(), truth);
}

#[tokio::test]
async fn every_change_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let samples = Samples::new(1);
    let writer = open(&path).await;
    let of = table(&writer, &samples, "t").await;
    writer.close().await.unwrap();
    let reader = open_read_only(&path).await.unwrap();
    let refusals = [
        reader.create_table(&samples.table("u")).await.map(|_| ()),
        reader.drop_table(of.0, of.1).await,
        reader.begin_writer(of.0, &samples.writer()).await.map(|_| ()),
        reader.commit(&[append(&samples, of)]).await.map(|_| ()),
    ];
    for refusal in refusals {
        let error = refusal.unwrap_err();
        assert_eq!((error.kind(), error.stable_code()), (ErrorKind::Invalid, "read-only"));
    }
    assert_eq!(reader.transactions(), 0);
}

#[tokio::test]
async fn nothing_to_read_is_not_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    assert_eq!(open_read_only(&path).await.unwrap_err().kind(), ErrorKind::NotFound);
    fs::write(&path, b"").unwrap();
    assert_eq!(open_read_only(&path).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(files(folder.path()).len(), 1);
}

#[tokio::test]
async fn closed_reader_refuses_to_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    open(&path).await.close().await.unwrap();
    let reader = open_read_only(&path).await.unwrap();
    reader.close().await.unwrap();
    reader.close().await.unwrap();
    assert_eq!(reader.list_tables().await.unwrap_err().stable_code(), "closed");
}
