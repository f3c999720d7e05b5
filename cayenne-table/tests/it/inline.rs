//! Small writes are inline first and in data files later, and the rows do not differ.

use std::sync::Arc;

use cayenne_format::{InlineOptions, Operation, TableOptions};
use cayenne_table::{CheckDepth, Database, Table};
use cayenne_testkit::{FailingStep, numbers_schema};

use crate::failure::WRITE_STEPS;
use crate::fixture::{database, existing, files_on_disk, name, open, open_with_steps, read, rows, sum};

async fn table_with(database: &Database, inline: InlineOptions) -> Arc<Table> {
    let options = TableOptions { inline, ..TableOptions::default() };
    database.create_table(&name("t"), &numbers_schema(), options).await.unwrap()
}

/// Flushed on demand only.
fn never_full() -> InlineOptions {
    InlineOptions { flush_max_rows: u64::MAX, flush_max_segments: 0, flush_max_bytes: 0, ..InlineOptions::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn small_appends_survive_any_end_of_the_process() {
    let (folder, database) = database().await;
    let t = table_with(&database, never_full()).await;
    for start in [0, 10, 20] {
        t.append(rows(start..start + 10)).await.unwrap();
    }
    assert!(files_on_disk(folder.path()).is_empty());
    drop((t, database));
    let database = open(folder.path()).await;
    let t = existing(&database, "t").await;
    assert_eq!(read(&t).await, sum(0..30));
    let report = database.check(CheckDepth::Deep).await.unwrap();
    assert_eq!((report.files, report.rows, report.problems.len()), (3, 30, 0));
    assert!(database.collect(true).await.unwrap().files.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flush_moves_all_inline_rows_in_one_commit_and_changes_no_row() {
    let (folder, database) = database().await;
    let t = table_with(&database, never_full()).await;
    t.append(rows(0..2_000)).await.unwrap();
    t.append(rows(2_000..2_010)).await.unwrap();
    t.append(rows(2_010..2_500)).await.unwrap();
    let before = t.view().await.unwrap();
    let flushed = t.flush().await.unwrap();
    assert_eq!((flushed.rows, flushed.inline_files, flushed.files), (500, 2, 1));
    assert_eq!(flushed.sequence.number(), 4);
    assert_eq!(t.log().await.unwrap().last().unwrap().operation, Operation::Flush);
    assert_eq!(files_on_disk(folder.path()).len(), 2);
    assert_eq!(read(&t).await, sum(0..2_500));
    assert_eq!(crate::fixture::read_view(&t, &before).await.unwrap(), sum(0..2_500), "a view from before goes on");
    let again = t.flush().await.unwrap();
    assert_eq!((again.rows, again.sequence), (0, flushed.sequence), "there is nothing left to do");
}

/// The space that inline rows took in the metastore is freed once the rows have been flushed and the database is
/// closed.
#[tokio::test(flavor = "multi_thread")]
async fn the_room_of_rows_that_have_moved_is_given_back() {
    let (folder, database) = database().await;
    let t = table_with(&database, never_full()).await;
    for start in 0..600 {
        t.append(rows(start * 1_000..start * 1_000 + 1_000)).await.unwrap();
    }
    let metastore = folder.path().join("metadata/cayenne.db");
    let bytes = || std::fs::metadata(&metastore).unwrap().len();
    drop(t);
    database.close().await.unwrap();
    let full = bytes();
    assert!(full > 8_000_000, "{full}");
    let database = open(folder.path()).await;
    let t = existing(&database, "t").await;
    assert_eq!(t.flush().await.unwrap().rows, 600_000);
    assert_eq!(t.expire(cayenne_format::RetentionOptions::default()).await.unwrap().known_from.number(), 601);
    let problems = database.check(CheckDepth::Deep).await.unwrap().problems;
    assert!(problems.is_empty(), "{problems:?}");
    drop(t);
    database.close().await.unwrap();
    assert!(bytes() < 2_000_000, "{} after {full}", bytes());
    let database = open(folder.path()).await;
    assert_eq!(read(&*existing(&database, "t").await).await, sum(0..600_000));
}

#[tokio::test(flavor = "multi_thread")]
async fn passing_a_limit_flushes_in_the_background() {
    let limits = [
        InlineOptions { flush_max_rows: 50, flush_max_segments: 0, flush_max_bytes: 0, ..InlineOptions::default() },
        InlineOptions { flush_max_rows: 0, flush_max_segments: 5, flush_max_bytes: 0, ..InlineOptions::default() },
        InlineOptions { flush_max_rows: 0, flush_max_segments: 0, flush_max_bytes: 4_000, ..InlineOptions::default() },
    ];
    for inline in limits {
        let (folder, database) = database().await;
        let t = table_with(&database, inline).await;
        for start in 0..20 {
            t.append(rows(start * 10..start * 10 + 10)).await.unwrap();
        }
        // Closing waits for the running flush.
        database.close().await.unwrap();
        drop(t);
        let database = open(folder.path()).await;
        let t = existing(&database, "t").await;
        assert_eq!(read(&t).await, sum(0..200));
        let left = t.view().await.unwrap().snapshot().inline();
        assert!(!inline.is_full(left), "{left:?} was left under {inline:?}");
        assert!(!files_on_disk(folder.path()).is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flushes_beside_appends_and_overwrites_lose_and_double_nothing() {
    let (_folder, database) = database().await;
    let t = table_with(&database, never_full()).await;
    for round in 0..20 {
        t.overwrite(rows(0..10)).await.unwrap();
        let flushes: Vec<_> = (0..2)
            .map(|_| {
                tokio::spawn({
                    let t = Arc::clone(&t);
                    async move { t.flush().await }
                })
            })
            .collect();
        if round % 2 == 0 {
            t.overwrite(rows(0..20)).await.unwrap();
        } else {
            t.append(rows(10..20)).await.unwrap();
        }
        for flush in flushes {
            flush.await.unwrap().unwrap();
        }
        assert_eq!(read(&t).await, sum(0..20), "round {round}");
    }
    t.flush().await.unwrap();
    assert!(database.check(CheckDepth::Deep).await.unwrap().problems.is_empty());
}

/// Invariant I2: a flush that fails at any step leaves the inline rows as they were, and no file.
#[tokio::test(flavor = "multi_thread")]
async fn a_flush_that_fails_at_any_step_changes_nothing() {
    for step in WRITE_STEPS {
        let folder = tempfile::tempdir().unwrap();
        let failing = Arc::new(FailingStep::default());
        let database = open_with_steps(folder.path(), Arc::clone(&failing) as _).await;
        let t = table_with(&database, never_full()).await;
        t.append(rows(0..10)).await.unwrap();
        failing.arm(*step);
        t.flush().await.expect_err(step.name());
        assert!(failing.disarm(), "{step} was never reached");
        assert_eq!(t.view().await.unwrap().snapshot().inline().rows, 10);
        assert!(files_on_disk(folder.path()).is_empty(), "{step} left a file");
        assert_eq!(read(&t).await, sum(0..10));
        t.flush().await.unwrap();
        assert_eq!(read(&t).await, sum(0..10));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn options_that_would_never_flush_are_refused() {
    let (_folder, database) = database().await;
    let inline =
        InlineOptions { flush_max_rows: 0, flush_max_segments: 0, flush_max_bytes: 0, ..InlineOptions::default() };
    let options = TableOptions { inline, ..TableOptions::default() };
    let error = database.create_table(&name("t"), &numbers_schema(), options).await.unwrap_err();
    assert_eq!(error.stable_code(), "invalid-option");
    assert!(database.tables().await.unwrap().is_empty());
}
