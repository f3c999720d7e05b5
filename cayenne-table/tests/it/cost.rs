//! What an operation costs, counted and not timed.

use std::sync::Arc;

use cayenne_format::{NoSteps, TableOptions};
use cayenne_metastore::{MemoryMetastore, SqliteMetastore, SqliteSettings};
use cayenne_table::Database;
use cayenne_testkit::{CountingFs, CountingMetastore, files_only, numbers_schema};

use crate::fixture::{name, read, rows, sum};

#[tokio::test(flavor = "multi_thread")]
async fn an_inline_append_is_one_commit_and_touches_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let metastore = Arc::new(CountingMetastore::new(Arc::new(MemoryMetastore::default())));
    let fs = Arc::new(CountingFs::default());
    let builder = Database::builder(folder.path()).fs(Arc::clone(&fs) as _);
    let database = builder.metastore(Arc::clone(&metastore) as _).open().await.unwrap();
    let t = database.create_table(&name("t"), &numbers_schema(), TableOptions::default()).await.unwrap();
    t.append(rows(0..1)).await.unwrap();
    let (flushed, listed, reads, asked) = (fs.syncs(), fs.lists(), fs.reads(), metastore.calls());
    t.append(rows(1..1_000)).await.unwrap();
    assert_eq!(read(&t).await, sum(0..1_000));
    assert_eq!((fs.syncs(), fs.lists(), fs.reads()), (flushed, listed, reads));
    assert_eq!(metastore.calls() - asked, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_append_flushes_thrice_and_a_warm_view_asks_nobody() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("metadata")).unwrap();
    let path = folder.path().join("metadata/cayenne.db");
    let sqlite = SqliteMetastore::open(&path, SqliteSettings::default(), Arc::new(NoSteps)).await.unwrap();
    let metastore = Arc::new(CountingMetastore::new(Arc::new(sqlite)));
    let fs = Arc::new(CountingFs::default());
    let builder = Database::builder(folder.path()).fs(Arc::clone(&fs) as _);
    let database = builder.metastore(Arc::clone(&metastore) as _).open().await.unwrap();
    let t = database.create_table(&name("t"), &numbers_schema(), files_only()).await.unwrap();
    t.append(rows(0..1_000)).await.unwrap();

    let (flushed, asked) = (fs.syncs(), metastore.calls());
    t.append(rows(1_000..2_000)).await.unwrap();
    // One for the data file, one for its folder; the third is the commit, in SQLite.
    assert_eq!(fs.syncs() - flushed, 2);
    assert_eq!(metastore.calls() - asked, 1);

    // What was read once is cached.
    for _ in 0..2 {
        assert_eq!(read(&t).await, sum(0..2_000));
    }
    let (asked, listed, reads) = (metastore.calls(), fs.lists(), fs.reads());
    let view = t.view().await.unwrap();
    assert_eq!(view.files().len(), 2);
    assert_eq!(read(&t).await, sum(0..2_000));
    assert_eq!(metastore.calls(), asked, "a warm view asks the metastore");
    assert_eq!(fs.lists(), listed, "a scan lists a folder");
    assert_eq!(fs.reads(), reads, "a scan of cached segments reads a file");
}

/// Closing a file drops all locks that the process has on it. If a file of the metastore were opened besides SQLite,
/// another handle of this process would lose its locks, and so its write-ahead log.
#[tokio::test(flavor = "multi_thread")]
async fn opening_a_database_opens_no_file_besides_its_metastore() {
    let folder = tempfile::tempdir().unwrap();
    for _ in 0..2 {
        let fs = Arc::new(CountingFs::default());
        let database = Database::builder(folder.path()).fs(Arc::clone(&fs) as _).open().await.unwrap();
        assert_eq!(fs.opens(), 0);
        database.close().await.unwrap();
    }
}
