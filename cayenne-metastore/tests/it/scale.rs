//! A table with as many files as a table may have.

use std::time::{Duration, Instant};

use cayenne_format::{Change, Requirement};
use cayenne_metastore::Metastore;
use cayenne_metastore::conformance::Samples;

use crate::fixture::{append, open, table};

const FILES: usize = 100_000;

#[tokio::test]
async fn a_hundred_thousand_files_load_fast_and_do_not_slow_commits() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let samples = Samples::new(1);
    let metastore = open(&path).await;
    let of = table(&metastore, &samples, "t").await;
    let changes: Vec<_> = (0..FILES).map(|_| Change::AddFile(Box::new(samples.data_file()))).collect();
    metastore.commit(&[samples.commit(of.0, of.1, changes)]).await.unwrap();
    metastore.close().await.unwrap();

    let started = Instant::now();
    let metastore = open(&path).await;
    let snapshot = metastore.load_snapshot(of.0, None).await.unwrap();
    let took = started.elapsed();
    assert_eq!(snapshot.files().len(), FILES);
    // The goal is one second on an idle machine; tests share theirs.
    assert!(took < Duration::from_secs(5), "{took:?}");

    let started = Instant::now();
    for file in snapshot.files().step_by(FILES / 100) {
        let mut commit = append(&samples, of);
        commit.requires = vec![Requirement::FilesLive(vec![file.id])];
        commit.changes.push(Change::RemoveFile(file.id));
        metastore.commit(&[commit]).await.unwrap();
    }
    let each = started.elapsed() / 100;
    assert!(each < Duration::from_millis(50), "{each:?}");
}
