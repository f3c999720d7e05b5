//! Closing a metastore returns unused space to the file system.

use std::path::Path;

use cayenne_format::Change;
use cayenne_metastore::conformance::Samples;
use cayenne_metastore::{Metastore, SqliteMetastore};
use rusqlite::Connection;

use crate::fixture::{Contents, contents, fill, open, table};

/// Leaves a metastore that was once large, as a killed process leaves it. Returns its remaining contents.
async fn once_large(path: &Path) -> Contents {
    let folder = tempfile::tempdir().unwrap();
    let original = folder.path().join("a.db");
    let (metastore, left) = make_large(&original).await;
    for end in ["", "-wal"] {
        let of = |path: &Path| format!("{}{end}", path.display());
        std::fs::copy(of(&original), of(path)).unwrap();
    }
    drop(metastore);
    left
}

async fn make_large(path: &Path) -> (SqliteMetastore, Contents) {
    let samples = Samples::new(1);
    let metastore = open(path).await;
    fill(&metastore, &samples).await;
    let of = table(&metastore, &samples, "large").await;
    let changes: Vec<_> = (0..10_000).map(|_| Change::AddFile(Box::new(samples.data_file()))).collect();
    metastore.commit(&[samples.commit(of.0, of.1, changes)]).await.unwrap();
    metastore.close().await.unwrap();
    let metastore = open(path).await;
    let epoch = metastore.begin_writer(of.0, &samples.writer()).await.unwrap();
    metastore.drop_table(of.0, epoch).await.unwrap();
    let left = contents(&metastore).await.unwrap();
    assert_eq!(left.tables.len(), 2);
    (metastore, left)
}

fn bytes(path: &Path) -> u64 {
    std::fs::metadata(path).unwrap().len()
}

#[tokio::test]
async fn room_that_nothing_uses_is_given_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let left = once_large(&path).await;
    let before = bytes(&path);
    open(&path).await.close().await.unwrap();
    assert!(bytes(&path) < before / 10, "{} of {before} bytes", bytes(&path));
    assert_eq!(contents(&open(&path).await).await.unwrap(), left);
}

#[tokio::test]
async fn room_that_cannot_be_given_back_takes_nothing_from_a_close() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let left = once_large(&path).await;
    let before = bytes(&path);
    let metastore = open(&path).await;
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    metastore.close().await.unwrap();
    assert_eq!(bytes(&path), before);
    other.execute_batch("ROLLBACK").unwrap();
    drop(other);
    let metastore = open(&path).await;
    assert_eq!(contents(&metastore).await.unwrap(), left);
    metastore.close().await.unwrap();
    assert!(bytes(&path) < before / 10, "the next close does it");
}

/// A reader that is open during the close keeps reading the same contents.
#[tokio::test]
async fn room_is_given_back_beside_a_reader() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let left = once_large(&path).await;
    let metastore = open(&path).await;
    let other = Connection::open(&path).unwrap();
    let count = || other.query_row("SELECT count(*) FROM cayenne_table", [], |row| row.get::<_, i64>(0)).unwrap();
    other.execute_batch("BEGIN").unwrap();
    assert_eq!(count(), 2);
    metastore.close().await.unwrap();
    assert_eq!(count(), 2);
    other.execute_batch("COMMIT").unwrap();
    assert_eq!(contents(&open(&path).await).await.unwrap(), left);
}
