//! Several processes on one database. Each handle has a metastore and locks of its own, as a process has.

use cayenne_format::ErrorKind;
use cayenne_table::{Access, Database};

use crate::fixture::{database, existing, name, open, read, rows, settings, sum, table};

#[tokio::test(flavor = "multi_thread")]
async fn a_second_writer_is_told_who_the_first_one_is() {
    let (folder, first) = database().await;
    let t = table(&first, "t").await;
    t.append(rows(0..10)).await.unwrap();

    let second = open(folder.path()).await;
    let other = existing(&second, "t").await;
    let error = other.append(rows(0..5)).await.unwrap_err();
    assert_eq!((error.kind(), error.stable_code()), (ErrorKind::Unavailable, "table-locked"));
    let process = format!("process {}", std::process::id());
    assert!(error.facts().any(|(name, value)| name == "writer" && value.starts_with(&process)), "{error}");
    let error = second.drop_table(&name("t")).await.unwrap_err();
    assert_eq!(error.stable_code(), "table-locked");

    // Another table can be written at once, and this one as soon as its writer has gone.
    table(&second, "u").await.append(rows(0..1)).await.unwrap();
    first.close().await.unwrap();
    other.append(rows(10..15)).await.unwrap();
    assert_eq!(read(&other).await, sum(0..15));
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_see_what_the_writer_commits() {
    let (folder, writer) = database().await;
    let t = table(&writer, "t").await;
    t.append(rows(0..10)).await.unwrap();
    let reader = Database::builder(folder.path()).access(Access::ReadOnly).settings(settings()).open().await.unwrap();
    let seen = existing(&reader, "t").await;
    assert_eq!(read(&seen).await, sum(0..10));
    let held = seen.view().await.unwrap();
    t.append(rows(10..20)).await.unwrap();
    assert_eq!(held.sequence().number(), 1);
    assert_eq!(read(&seen).await, sum(0..20));
    t.overwrite(rows(3..4)).await.unwrap();
    assert_eq!(read(&seen).await, sum(3..4));
    let error = seen.append(rows(0..1)).await.unwrap_err();
    assert_eq!(error.stable_code(), "read-only");
    assert!(writer.drop_table(&name("t")).await.unwrap());
    assert_eq!(seen.view().await.unwrap_err().stable_code(), "table-dropped");
}

/// A writer that was replaced finds out at its next commit, and stays fenced.
#[tokio::test(flavor = "multi_thread")]
async fn a_fenced_writer_can_never_commit_again() {
    let (folder, first) = database().await;
    let t = table(&first, "t").await;
    t.append(rows(0..10)).await.unwrap();
    // The lock file is removed by hand, which defeats the lock.
    std::fs::remove_file(folder.path().join("metadata").join(format!("{}.lock", t.id()))).unwrap();
    let second = open(folder.path()).await;
    let other = existing(&second, "t").await;
    other.append(rows(10..20)).await.unwrap();
    for _ in 0..2 {
        let error = t.append(rows(0..5)).await.unwrap_err();
        assert_eq!(error.stable_code(), "fenced", "{error:?}");
    }
    other.append(rows(20..30)).await.unwrap();
    assert_eq!(read(&other).await, sum(0..30));
}

/// Files that a fenced writer does not know may belong to a write of the next writer.
#[tokio::test(flavor = "multi_thread")]
async fn a_fenced_writer_collects_nothing() {
    let (folder, first) = database().await;
    let t = table(&first, "t").await;
    t.append(rows(0..10)).await.unwrap();
    std::fs::remove_file(folder.path().join("metadata").join(format!("{}.lock", t.id()))).unwrap();
    let second = open(folder.path()).await;
    let other = existing(&second, "t").await;
    other.append(rows(10..20)).await.unwrap();
    let in_flight =
        folder.path().join("data").join(&t.record().location).join("01890000-0000-7000-8000-000000000000.vortex");
    std::fs::write(&in_flight, "being written").unwrap();
    // The process does not know yet that it is fenced.
    assert_eq!(first.collect(true).await.unwrap_err().stable_code(), "fenced");
    assert!(in_flight.exists());
    assert_eq!(second.collect(true).await.unwrap().files.len(), 1);
    assert_eq!(read(&other).await, sum(0..20));
}
