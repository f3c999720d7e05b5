//! Orphan files are found and removed, and nothing else is.

use std::sync::Arc;

use cayenne_format::Step;
use cayenne_testkit::StoppingStep;

use crate::fixture::{database, existing, files_on_disk, open, open_with_steps, read, rows, sum, table};

#[tokio::test(flavor = "multi_thread")]
async fn only_what_no_kept_snapshot_names_is_removed() {
    let (folder, database) = database().await;
    let t = table(&database, "t").await;
    t.append(rows(0..10)).await.unwrap();
    t.overwrite(rows(10..20)).await.unwrap();
    let location = folder.path().join("data").join(&t.record().location);
    let stray = location.join("01890a5d-ac96-774b-bcce-b302099a8057.vortex");
    std::fs::write(&stray, b"left over").unwrap();
    std::fs::write(location.join("notes.txt"), b"not ours").unwrap();
    std::fs::create_dir(folder.path().join("data/lost+found")).unwrap();

    let found = database.collect(false).await.unwrap();
    assert_eq!((found.files.len(), found.bytes), (1, 9));
    assert!(stray.exists(), "looking removes nothing");
    database.collect(true).await.unwrap();
    assert!(!stray.exists());
    assert!(location.join("notes.txt").exists(), "what Cayenne did not write stays");
    assert_eq!(files_on_disk(folder.path()).len(), 2, "the files of the kept history stay");
    assert_eq!(database.collect(true).await.unwrap().files.len(), 0);
    assert_eq!(read(&t).await, sum(10..20));
}

/// Pitfall 41: files that are written and about to be named by a commit are not orphans.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_write_in_flight_is_not_collected() {
    let folder = tempfile::tempdir().unwrap();
    let step = Arc::new(StoppingStep::at(Step::HandCommit));
    step.open();
    let database = open_with_steps(folder.path(), Arc::clone(&step) as _).await;
    let t = table(&database, "t").await;
    drop(database);
    drop(t);

    let step = Arc::new(StoppingStep::at(Step::HandCommit));
    let database = open_with_steps(folder.path(), Arc::clone(&step) as _).await;
    let t = existing(&database, "t").await;
    let write = tokio::spawn({
        let t = Arc::clone(&t);
        async move { t.append(rows(0..10)).await }
    });
    let reached = Arc::clone(&step);
    tokio::task::spawn_blocking(move || reached.wait_until_reached()).await.unwrap();
    assert_eq!(files_on_disk(folder.path()).len(), 1);

    let collect = tokio::spawn({
        let database = Arc::clone(&database);
        async move { database.collect(true).await }
    });
    // Another process passes the table over.
    let other = open(folder.path()).await;
    assert_eq!(other.collect(true).await.unwrap().busy, ["t"]);
    step.open();
    write.await.unwrap().unwrap();
    assert!(collect.await.unwrap().unwrap().files.is_empty());
    assert_eq!(read(&t).await, sum(0..10));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn collecting_keeps_nobody_from_beginning_to_write() {
    let folder = tempfile::tempdir().unwrap();
    table(&*open(folder.path()).await, "t").await;
    for round in 0..40 {
        let database = open(folder.path()).await;
        let t = existing(&database, "t").await;
        let collecting = tokio::spawn({
            let database = Arc::clone(&database);
            async move {
                for _ in 0..5 {
                    database.collect(true).await.unwrap();
                }
            }
        });
        for _ in 0..round {
            tokio::task::yield_now().await;
        }
        t.append(rows(0..1)).await.unwrap();
        collecting.await.unwrap();
        database.close().await.unwrap();
    }
}
