//! Staged writes, and what happens to them when their process ends; source positions.

use cayenne_format::{ErrorKind, Location, SourcePosition, Step, TableOptions};
use cayenne_table::Written;
use cayenne_testkit::{FailingStep, numbers_schema};

use crate::fixture::{database, existing, files_on_disk, name, open, open_with_steps, read, rows, sum, table};

fn source(position: u64) -> SourcePosition {
    SourcePosition { stream: "orders".into(), position }
}

#[tokio::test(flavor = "multi_thread")]
async fn staged_rows_are_invisible_until_they_are_published() {
    for options in [cayenne_testkit::files_only(), TableOptions::default()] {
        let (folder, database) = database().await;
        let t = database.create_table(&name("t"), &numbers_schema(), options).await.unwrap();
        let staged = t.stage(rows(0..10), None).await.unwrap();
        t.append(rows(10..20)).await.unwrap();
        assert_eq!(read(&t).await, sum(10..20));
        assert!(database.collect(true).await.unwrap().files.is_empty(), "what is staged is not collected");
        let written = staged.publish().await.unwrap();
        assert_eq!((written.rows, written.sequence.number()), (10, 2));
        assert_eq!(read(&t).await, sum(0..20));
        let other = t.stage(rows(20..30), None).await.unwrap();
        other.discard().await.unwrap();
        assert_eq!(read(&t).await, sum(0..20));
        let files = t.view().await.unwrap().files().filter(|file| !file.is_inline()).count();
        assert_eq!(files_on_disk(folder.path()).len(), files, "what was discarded left no file");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_writer_publishes_what_is_whole_and_rejects_what_is_not() {
    let (folder, first) = database().await;
    let t = table(&first, "t").await;
    let whole = t.stage(rows(0..10), Some(source(1))).await.unwrap().id();
    let mut damaged = Vec::new();
    for start in [100, 200, 300] {
        let before = files_on_disk(folder.path());
        damaged.push(t.stage(rows(start..start + 10), None).await.unwrap().id());
        let made = files_on_disk(folder.path()).into_iter().find(|file| !before.contains(file)).unwrap();
        let path = folder.path().join("data").join(&t.record().location).join(made);
        match start {
            100 => std::fs::remove_file(path).unwrap(),
            200 => std::fs::write(&path, &std::fs::read(&path).unwrap()[..100]).unwrap(),
            _ => {
                let mut bytes = std::fs::read(&path).unwrap();
                bytes[50] ^= 1;
                std::fs::write(&path, bytes).unwrap();
            }
        }
    }
    drop((t, first));
    let second = open(folder.path()).await;
    let t = existing(&second, "t").await;
    assert_eq!(read(&t).await, (0, 0), "a reader publishes nothing");
    t.append(rows(10..20)).await.unwrap();
    assert_eq!(read(&t).await, sum(0..20));
    let recovery = t.recovery();
    assert_eq!(recovery.adopted, [whole]);
    let rejected: Vec<_> = recovery.rejected.iter().map(|rejected| rejected.commit).collect();
    assert_eq!(rejected, damaged);
    let codes: Vec<_> = recovery.rejected.iter().map(|rejected| rejected.error.stable_code()).collect();
    assert_eq!(codes, ["missing-data-file", "damaged-file", "damaged-file"]);
    assert!(recovery.rejected.iter().all(|rejected| rejected.error.to_string().contains(".vortex")), "files are named");
    // A second recovery has nothing left to do.
    second.close().await.unwrap();
    drop(t);
    let third = open(folder.path()).await;
    let t = existing(&third, "t").await;
    assert!(t.append_from(source(1), rows(0..10)).await.unwrap().is_repeated, "it was taken in when it was adopted");
    assert!(t.recovery().adopted.is_empty() && t.recovery().rejected.is_empty());
    assert_eq!(third.collect(true).await.unwrap().files.len(), 2, "what was rejected is nobody's");
    assert_eq!(read(&t).await, sum(0..20));
}

/// Invariants I1 and I6: a recovery that is broken off anywhere has the same result when it runs again.
#[tokio::test(flavor = "multi_thread")]
async fn a_recovery_broken_off_at_any_step_is_done_by_the_next_one() {
    for step in [Step::HandCommit, Step::BeginCommit, Step::ApplyChanges, Step::EndCommit] {
        let (folder, first) = database().await;
        let t = table(&first, "t").await;
        drop(t.stage(rows(0..10), None).await.unwrap());
        drop((t, first));
        let failing = std::sync::Arc::new(FailingStep::default());
        let second = open_with_steps(folder.path(), std::sync::Arc::clone(&failing) as _).await;
        let t = existing(&second, "t").await;
        failing.arm(step);
        t.append(rows(10..20)).await.expect_err(step.name());
        assert!(failing.disarm(), "{step} was never reached");
        t.append(rows(10..20)).await.unwrap();
        assert_eq!(read(&t).await, sum(0..20), "{step}");
        assert!(second.collect(true).await.unwrap().files.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publication_after_another_process_took_over_has_no_second_effect() {
    let (folder, first) = database().await;
    let t = table(&first, "t").await;
    let staged = t.stage(rows(0..10), None).await.unwrap();
    // The first process loses its lock, as if it had been stopped for long and taken for dead.
    t.flush().await.unwrap();
    first.close().await.unwrap();
    let second = open(folder.path()).await;
    let other = existing(&second, "t").await;
    other.append(rows(10..20)).await.unwrap();
    assert!(staged.publish().await.is_err(), "its metastore is closed");
    assert_eq!(read(&other).await, sum(0..20));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_of_a_stream_is_taken_in_once() {
    let (folder, database) = database().await;
    let t = table(&database, "t").await;
    let first = t.append_from(source(5), rows(0..10)).await.unwrap();
    assert_eq!((first.rows, first.is_repeated), (10, false));
    for position in [5, 4, 0] {
        let again = t.append_from(source(position), rows(0..10)).await.unwrap();
        assert_eq!(again, Written { rows: 0, rows_removed: 0, files: 0, sequence: first.sequence, is_repeated: true });
    }
    let other = SourcePosition { stream: "customers".into(), position: 5 };
    t.append_from(other, rows(10..20)).await.unwrap();
    t.append_from(source(6), vec![]).await.expect("a position may bring no rows");
    assert!(t.append_from(source(6), rows(20..30)).await.unwrap().is_repeated);
    assert_eq!(read(&t).await, sum(0..20));
    drop((t, database));
    let database = open(folder.path()).await;
    let t = existing(&database, "t").await;
    assert!(t.append_from(source(6), rows(20..30)).await.unwrap().is_repeated, "it is remembered");
    assert!(!t.append_from(source(7), rows(20..30)).await.unwrap().is_repeated);
    assert_eq!(read(&t).await, sum(0..30));
    assert_eq!(files_on_disk(folder.path()).len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn staged_rows_whose_position_was_taken_in_meanwhile_are_no_longer_staged() {
    let (folder, database) = database().await;
    let t = table(&database, "t").await;
    let staged = t.stage(rows(0..10), Some(source(1))).await.unwrap();
    t.append_from(source(1), rows(0..10)).await.unwrap();
    assert!(staged.publish().await.unwrap().is_repeated);
    assert_eq!(read(&t).await, sum(0..10));
    database.close().await.unwrap();
    drop(t);
    let database = open(folder.path()).await;
    let t = existing(&database, "t").await;
    t.append(rows(10..20)).await.unwrap();
    assert!(t.recovery().adopted.is_empty() && t.recovery().rejected.is_empty());
    assert_eq!(database.collect(true).await.unwrap().files.len(), 1);
    assert_eq!(read(&t).await, sum(0..20));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_not_staged_and_an_error_leaves_nothing() {
    let (folder, database) = database().await;
    let t = table(&database, "t").await;
    let error = t.stage(vec![], None).await.unwrap_err();
    assert_eq!((error.kind(), error.stable_code()), (ErrorKind::Invalid, "no-rows"));
    let staged = t.stage(rows(0..3), None).await.unwrap();
    staged.discard().await.unwrap();
    assert!(files_on_disk(folder.path()).is_empty());
    let view = t.view().await.unwrap();
    assert!(view.files().all(|file| matches!(file.location, Location::Path(_))));
}
