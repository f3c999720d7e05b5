//! Files of other applications, of newer builds, and files that were tampered with are refused and left alone.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cayenne_format::ErrorKind;
use cayenne_metastore::Metastore;
use cayenne_metastore::conformance::Samples;
use rusqlite::Connection;

use crate::fixture::{contents, fill, open, open_read_only, try_open};

/// Creates a closed metastore with some contents and changes it with `sql`.
async fn changed_by(folder: &Path, sql: &str) -> PathBuf {
    let path = folder.join("a.db");
    let metastore = open(&path).await;
    fill(&metastore, &Samples::new(1)).await;
    metastore.close().await.unwrap();
    Connection::open(&path).unwrap().execute_batch(sql).unwrap();
    path
}

/// Asserts that the file is refused with this code, for writing and for reading, and stays unchanged.
async fn refused(path: &Path, code: &str) {
    let before = fs::read(path).unwrap();
    for opened in [try_open(path).await, open_read_only(path).await] {
        let error = opened.map(|_| ()).expect_err("this file should have been refused");
        assert_eq!((error.kind(), error.stable_code()), (ErrorKind::Unsupported, code), "{error:?}");
        assert!(error.to_string().contains("a.db"), "the file is not named: {error}");
    }
    assert!(fs::read(path).unwrap() == before, "a refused file was changed");
}

#[tokio::test]
async fn newer_version_is_refused_with_both_versions() {
    let folder = tempfile::tempdir().unwrap();
    let path = changed_by(folder.path(), "PRAGMA user_version = 7; CREATE TABLE from_the_future (x)").await;
    refused(&path, "newer-metastore").await;
    let message = try_open(&path).await.unwrap_err().to_string();
    assert!(message.contains("schema version 7; this build knows up to 2"), "{message}");
}

#[tokio::test]
async fn file_of_another_application_is_refused() {
    for sql in [
        "CREATE TABLE t (x)",
        "PRAGMA application_id = 7; CREATE TABLE t (x)",
        "PRAGMA application_id = 7",
        "PRAGMA user_version = 1",
        "PRAGMA user_version = -1",
        "PRAGMA journal_mode = WAL; CREATE TABLE cayenne_table (id)",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        refused(&path, "foreign-metastore").await;
    }
}

#[tokio::test]
async fn changed_schema_is_refused() {
    for sql in [
        "CREATE TRIGGER gone AFTER INSERT ON commit_log BEGIN DELETE FROM data_file; END",
        "CREATE VIEW more AS SELECT 1",
        "CREATE TABLE more (x)",
        "CREATE INDEX more ON data_file (row_count)",
        "DROP INDEX data_file_by_time",
        "ALTER TABLE writer ADD COLUMN more TEXT",
        "DROP TABLE writer",
        "PRAGMA user_version = 0",
        "PRAGMA user_version = -1",
        "PRAGMA application_id = 0",
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = changed_by(folder.path(), sql).await;
        refused(&path, "foreign-metastore").await;
    }
}

#[tokio::test]
async fn statistics_of_the_planner_are_no_change() {
    let folder = tempfile::tempdir().unwrap();
    let path = changed_by(folder.path(), "ANALYZE").await;
    let metastore = open(&path).await;
    assert_eq!(contents(&metastore).await.unwrap().tables.len(), 2);
}

#[tokio::test]
async fn file_carries_its_identity() {
    let folder = tempfile::tempdir().unwrap();
    let path = changed_by(folder.path(), "").await;
    let header = fs::read(&path).unwrap();
    assert_eq!(&header[68..72], b"CAYN");
    let version = Connection::open(&path).unwrap().pragma_query_value(None, "user_version", |row| row.get::<_, i32>(0));
    assert_eq!(version.unwrap(), 2);
}

#[tokio::test]
async fn file_that_left_wal_mode_enters_it_as_soon_as_it_is_free() {
    let folder = tempfile::tempdir().unwrap();
    let path = changed_by(folder.path(), "PRAGMA journal_mode = DELETE").await;
    let reader = Connection::open(&path).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM cayenne_table").unwrap();
    let opening = tokio::spawn(try_open(path.clone()));
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert!(!opening.is_finished(), "a reader was in the way");
    reader.execute_batch("COMMIT").unwrap();
    contents(&opening.await.unwrap().unwrap()).await.unwrap();
    let again = Connection::open(&path).unwrap();
    let mode = again.pragma_query_value(None, "journal_mode", |row| row.get::<_, String>(0));
    assert_eq!(mode.unwrap(), "wal");
}

#[tokio::test]
async fn nothing_is_written_to_a_file_that_was_moved_away() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let metastore = open(&path).await;
    fill(&metastore, &Samples::new(1)).await;
    let of = metastore.list_tables().await.unwrap()[0].id;
    for file in ["a.db", "a.db-wal", "a.db-shm"] {
        fs::rename(folder.path().join(file), folder.path().join(format!("moved-{file}"))).unwrap();
    }
    let samples = Samples::new(2);
    for replaced in [false, true] {
        if replaced {
            open(&path).await.close().await.unwrap();
        }
        let refused = [
            metastore.commit(&[samples.commit(of, cayenne_format::WriterEpoch::NONE, Vec::new())]).await.map(drop),
            metastore.begin_writer(of, &samples.writer()).await.map(drop),
            metastore.create_table(&samples.table("new")).await.map(drop),
            metastore.list_tables().await.map(drop),
        ];
        for refused in refused {
            assert_eq!(refused.unwrap_err().stable_code(), "metastore-replaced");
        }
    }
}
