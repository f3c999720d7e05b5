//! Readers that return soon, concurrently with a writer in another process.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cayenne_format::{RetentionOptions, TableName};
use cayenne_metastore::{SqliteMetastore, SqliteSettings};
use cayenne_table::{Access, Database, DatabaseSettings};
use cayenne_testkit::{CountingFs, CountingMetastore};

use crate::fixture::{database, existing, files_on_disk, name, read, read_view, rows, sum, table};

const KEEP_NONE: RetentionOptions = RetentionOptions { count: 0, seconds: 0 };

/// A process that notices the commits of others late.
async fn patient(root: &Path) -> Arc<Database> {
    let settings = DatabaseSettings { poll_interval: Duration::from_hours(1), ..DatabaseSettings::default() };
    Database::builder(root).access(Access::ReadOnly).settings(settings).open().await.unwrap()
}

/// Waits until no process has a pin.
async fn nobody_reads(root: &Path) {
    let is_pin =
        |entry: std::io::Result<std::fs::DirEntry>| !entry.unwrap().file_name().to_string_lossy().ends_with(".lock");
    while std::fs::read_dir(root.join("metadata/readers")).unwrap().any(is_pin) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_of_a_table_that_does_not_change_asks_nobody_and_makes_no_file() {
    const READS: usize = 1_000;
    let (folder, database) = database().await;
    table(&database, "t").await.append(rows(0..10)).await.unwrap();
    let file = folder.path().join("metadata/cayenne.db");
    let metastore = SqliteMetastore::open_read_only(file, SqliteSettings::default()).await.unwrap();
    let metastore = Arc::new(CountingMetastore::new(Arc::new(metastore)));
    let fs = Arc::new(CountingFs::default());
    let settings = DatabaseSettings { poll_interval: Duration::from_hours(1), ..DatabaseSettings::default() };
    let reader = Database::builder(folder.path()).access(Access::ReadOnly).settings(settings);
    let reader = reader.metastore(Arc::clone(&metastore) as _).fs(Arc::clone(&fs) as _).open().await.unwrap();
    drop(existing(&reader, "t").await.view().await.unwrap());
    let before = (metastore.calls(), fs.creates());
    for _ in 0..READS {
        drop(existing(&reader, "t").await.view().await.unwrap());
    }
    let (asked, made) = (metastore.calls() - before.0, fs.creates() - before.1);
    // If the machine delays a reader for half a second, it queries and pins again. So this is checked for the sum and
    // not for each read.
    assert!(asked < READS / 10 && made < READS / 10, "{asked} questions and {made} files");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pin_that_lingers_keeps_its_files_and_goes_by_itself() {
    let (folder, database) = database().await;
    let t = table(&database, "t").await;
    t.append(rows(0..10)).await.unwrap();
    let elsewhere = patient(folder.path()).await;
    let other = existing(&elsewhere, "t").await;
    for round in 1..4 {
        let view = other.view().await.unwrap();
        let begins = view.sequence();
        t.overwrite(rows(0..round)).await.unwrap();
        drop(view);
        // The pin may linger still or may just have ended: in both cases, what it tells is true.
        let known_from = t.expire(KEEP_NONE).await.unwrap().known_from;
        assert!(known_from == begins || known_from == t.view().await.unwrap().sequence());
        database.collect(true).await.unwrap();
        let view = other.view().await.unwrap();
        let expected = if view.sequence() == begins { begins } else { t.view().await.unwrap().sequence() };
        assert_eq!(view.sequence(), expected);
        read_view(&other, &view).await.expect("what it gave out can be read");
        drop(view);
        nobody_reads(folder.path()).await;
        t.expire(KEEP_NONE).await.unwrap();
        database.collect(true).await.unwrap();
        assert_eq!(files_on_disk(folder.path()).len(), 1, "an idle reader keeps nothing");
        let (count, _) = read(&other).await;
        assert_eq!(i64::try_from(count).unwrap(), round, "what was given up is not read again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lingers_here_keeps_nothing_from_this_process() {
    let (folder, first) = database().await;
    table(&first, "t").await.append(rows(0..10)).await.unwrap();
    first.close().await.unwrap();
    let poll_interval = Duration::from_hours(1);
    let settings = DatabaseSettings { poll_interval, has_upkeep: false, ..DatabaseSettings::default() };
    let database = Database::builder(folder.path()).settings(settings).open().await.unwrap();
    let t = existing(&database, "t").await;
    assert_eq!(read(&t).await, sum(0..10));
    t.overwrite(rows(0..5)).await.unwrap();
    assert_eq!(t.expire(KEEP_NONE).await.unwrap().known_from.number(), 2);
    assert_eq!(database.collect(true).await.unwrap().files.len(), 1);
    database.close().await.unwrap();
    assert_eq!(std::fs::read_dir(folder.path().join("metadata/readers")).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_another_one_replaced_elsewhere_is_found_when_it_is_no_longer_read() {
    let (folder, database) = database().await;
    let t = table(&database, "t").await;
    t.append(rows(0..10)).await.unwrap();
    let elsewhere = patient(folder.path()).await;
    let other = existing(&elsewhere, "t").await;
    let held = other.view().await.unwrap();
    assert_eq!(read_view(&other, &held).await.unwrap(), sum(0..10), "and has the checksums from now on");
    assert!(database.drop_table(&name("t")).await.unwrap());
    let anew = table(&database, "t").await;
    anew.append(rows(5..10)).await.unwrap();
    // As long as the old table is pinned, the process may go on to use it, with all of its rows.
    assert_eq!(existing(&elsewhere, "t").await.id(), t.id());
    assert_eq!(read(&other).await, sum(0..10));
    let made_since = table(&database, "u").await;
    assert_eq!(existing(&elsewhere, "u").await.id(), made_since.id(), "a new name is known at once");
    drop(held);
    nobody_reads(folder.path()).await;
    let found = existing(&elsewhere, "t").await;
    assert_eq!(found.id(), anew.id());
    assert_eq!(read(&found).await, sum(5..10));
    nobody_reads(folder.path()).await;
    assert!(database.drop_table(&name("t")).await.unwrap());
    assert!(elsewhere.table(&name("t")).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_this_process_replaces_is_seen_at_once() {
    let (folder, first) = database().await;
    table(&first, "t").await.append(rows(0..10)).await.unwrap();
    first.close().await.unwrap();
    let settings = DatabaseSettings { poll_interval: Duration::from_hours(1), ..DatabaseSettings::default() };
    let database = Database::builder(folder.path()).settings(settings).open().await.unwrap();
    let t: TableName = name("t");
    let mut before = existing(&database, "t").await;
    for round in 1..4 {
        drop(before.view().await.unwrap());
        assert!(database.drop_table(&t).await.unwrap());
        assert!(database.table(&t).await.unwrap().is_none());
        let made = table(&database, "t").await;
        assert_eq!(existing(&database, "t").await.id(), made.id());
        made.append(rows(0..round)).await.unwrap();
        let found = existing(&database, "t").await;
        assert_eq!(read(&found).await, sum(0..round));
        before = made;
    }
}
