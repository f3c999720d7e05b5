//! The life of a table: created, written, read, reopened, dropped.

use cayenne_format::{ErrorKind, RetentionOptions, Sequence, TableOptions};
use cayenne_table::{Access, CheckDepth, Database};
use cayenne_testkit::{files_only, numbers, numbers_schema, stream_of};

use crate::fixture::{database, existing, files_on_disk, name, open, read, read_view, rows, sum, table};

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_there_after_append_overwrite_truncate_and_reopen() {
    let (folder, database) = database().await;
    let t = table(&database, "t").await;
    assert_eq!(read(&t).await, (0, 0));
    let written = t.append(rows(0..1_000)).await.unwrap();
    assert_eq!((written.rows, written.files, written.sequence.number()), (1_000, 1, 1));
    t.append(rows(1_000..1_500)).await.unwrap();
    assert_eq!(read(&t).await, sum(0..1_500));
    let overwritten = t.overwrite(rows(5..10)).await.unwrap();
    assert_eq!((overwritten.rows, overwritten.rows_removed), (5, 1_500));
    assert_eq!(read(&t).await, sum(5..10));
    database.close().await.unwrap();

    let database = open(folder.path()).await;
    let t = existing(&database, "t").await;
    assert_eq!(read(&t).await, sum(5..10));
    assert_eq!(t.truncate().await.unwrap().rows_removed, 5);
    assert_eq!(read(&t).await, (0, 0));
    t.append(rows(7..9)).await.unwrap();
    drop(database);

    // Without a clean close, as after a crash.
    let database = open(folder.path()).await;
    assert_eq!(read(&*existing(&database, "t").await).await, sum(7..9));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kept_snapshot_can_be_read() {
    let (_folder, database) = database().await;
    let retention = RetentionOptions { count: u64::MAX, seconds: 0 };
    let options = TableOptions { retention, ..files_only() };
    let t = database.create_table(&name("t"), &numbers_schema(), options).await.unwrap();
    t.append(rows(0..10)).await.unwrap();
    t.overwrite(rows(10..30)).await.unwrap();
    t.append(rows(30..35)).await.unwrap();
    t.truncate().await.unwrap();
    let expected = [(0, 0), sum(0..10), sum(10..30), sum(10..35), (0, 0)];
    for (number, expected) in (0..).zip(expected) {
        let view = t.view_at(Sequence::new(number).unwrap()).await.unwrap();
        assert_eq!(read_view(&t, &view).await.unwrap(), expected, "sequence {number}");
    }
    let error = t.view_at(Sequence::new(5).unwrap()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let operations: Vec<_> = t.log().await.unwrap().iter().map(|record| record.operation.word()).collect();
    assert_eq!(operations, ["append", "overwrite", "append", "truncate"]);
}

/// Pitfalls 38 and 117: writing nothing adds no snapshot, and an empty overwrite leaves a valid empty table.
#[tokio::test(flavor = "multi_thread")]
async fn writes_of_nothing_make_no_commit_and_no_file() {
    let (folder, database) = database().await;
    let t = table(&database, "t").await;
    assert_eq!(t.append(vec![]).await.unwrap().sequence, Sequence::ZERO);
    assert_eq!(t.append(vec![stream_of(vec![numbers(0..0)])]).await.unwrap().sequence, Sequence::ZERO);
    assert_eq!(t.overwrite(vec![]).await.unwrap().sequence, Sequence::ZERO);
    assert!(files_on_disk(folder.path()).is_empty());
    t.append(rows(0..3)).await.unwrap();
    assert_eq!(t.overwrite(vec![]).await.unwrap().sequence.number(), 2);
    assert_eq!(read(&t).await, (0, 0));
    assert_eq!(t.truncate().await.unwrap().sequence.number(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_made_with_rows_appears_together_with_them() {
    let (_folder, database) = database().await;
    let streams = vec![stream_of(vec![numbers(0..50)]), stream_of(vec![numbers(50..80)])];
    let made = database.create_table_with(&name("t"), &numbers_schema(), files_only(), streams).await;
    let t = made.unwrap();
    assert_eq!(read(&t).await, sum(0..80));
    let again = database.create_table(&name("t"), &numbers_schema(), files_only()).await.unwrap_err();
    assert_eq!(again.stable_code(), "table-exists");
    assert_eq!(read(&t).await, sum(0..80));
}

/// Pitfall 52: dropping one table touches nothing of another.
#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_table_is_gone_and_the_other_is_not() {
    let (folder, database) = database().await;
    let keep = table(&database, "keep").await;
    keep.append(rows(0..10)).await.unwrap();
    table(&database, "t").await.append(rows(0..10)).await.unwrap();
    assert!(database.drop_table(&name("t")).await.unwrap());
    assert!(!database.drop_table(&name("t")).await.unwrap());
    assert!(database.table(&name("t")).await.unwrap().is_none());
    assert_eq!(files_on_disk(folder.path()).len(), 1);
    // A new table of that name is another table.
    let t = table(&database, "t").await;
    assert_eq!(read(&t).await, (0, 0));
    assert_eq!(read(&keep).await, sum(0..10));
    assert!(database.check(CheckDepth::Deep).await.unwrap().problems.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_differ_only_by_case_are_two_tables() {
    let (_folder, database) = database().await;
    for (index, text) in ["A", "a", "a b", "ä", "a\u{308}", "🌶", "a.b", "\"q\"", "CON"].into_iter().enumerate() {
        table(&database, text).await.append(rows(0..i64::try_from(index + 1).unwrap())).await.unwrap();
    }
    for (index, text) in ["A", "a", "a b", "ä", "a\u{308}", "🌶", "a.b", "\"q\"", "CON"].into_iter().enumerate() {
        assert_eq!(read(&*existing(&database, text).await).await.0, index + 1, "{text}");
    }
}

/// The data folder may be moved: nothing in it contains its path.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_can_be_moved_elsewhere() {
    let (folder, database) = database().await;
    table(&database, "t").await.append(rows(0..10)).await.unwrap();
    database.close().await.unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let moved = elsewhere.path().join("moved");
    std::fs::rename(folder.path(), &moved).unwrap();
    let database = open(&moved).await;
    assert_eq!(read(&*existing(&database, "t").await).await, sum(0..10));
}

#[tokio::test]
async fn a_path_that_is_no_database_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let error = Database::builder(&file).open().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error:?}");
    assert!(error.facts().any(|(name, value)| name == "database" && value.ends_with("file")));
    let missing = folder.path().join("missing");
    let error = Database::builder(&missing).access(Access::ReadOnly).open().await.unwrap_err();
    assert_eq!(error.stable_code(), "no-database");
    assert!(!missing.exists(), "a read-only open makes nothing");
}
