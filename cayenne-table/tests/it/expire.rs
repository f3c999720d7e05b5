//! Expiring snapshots: those that are not read are removed, those that are read stay.

use std::sync::Arc;

use cayenne_format::{ErrorKind, RetentionOptions, Sequence};
use cayenne_table::{Access, Database};

use crate::fixture::{database, existing, files_on_disk, name, open, read, read_view, rows, settings, sum, table};

const KEEP_NONE: RetentionOptions = RetentionOptions { count: 0, seconds: 0 };

fn at(number: u64) -> Sequence {
    Sequence::new(number).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_current_snapshot_is_kept_unless_options_say_otherwise() {
    let (folder, database) = database().await;
    let t = table(&database, "t").await;
    t.append(rows(0..10)).await.unwrap();
    t.append(rows(10..20)).await.unwrap();
    let view = t.view_at(at(1)).await.expect("appends take nothing away");
    drop(view);
    t.overwrite(rows(0..5)).await.unwrap();
    let error = t.view_at(at(2)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.facts().any(|(name, value)| name == "oldest" && value == "3"), "{error:?}");
    assert_eq!(t.log().await.unwrap().len(), 1);
    let dry = t.expirable(KEEP_NONE).await.unwrap();
    assert_eq!((dry.snapshots, dry.kept_from, dry.known_from), (0, at(3), at(3)));
    assert_eq!(t.expire(KEEP_NONE).await.unwrap(), dry);
    let collected = database.collect(true).await.unwrap();
    assert_eq!(collected.files.len(), 2);
    assert_eq!(files_on_disk(folder.path()).len(), 1);
    assert_eq!(read(&t).await, sum(0..5));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_steady_stream_of_overwrites_leaves_a_bounded_history() {
    let (folder, database) = database().await;
    let t = table(&database, "t").await;
    for round in 0..30 {
        t.overwrite(rows(0..round + 1)).await.unwrap();
        database.collect(true).await.unwrap();
        assert!(files_on_disk(folder.path()).len() <= 3, "round {round}");
    }
    assert_eq!(read(&t).await, sum(0..30));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_this_process_reads_is_kept() {
    let (folder, database) = database().await;
    let t = table(&database, "t").await;
    t.append(rows(0..10)).await.unwrap();
    let pinned = t.view().await.unwrap();
    for _ in 0..3 {
        t.overwrite(rows(0..5)).await.unwrap();
    }
    let expired = t.expire(KEEP_NONE).await.unwrap();
    assert_eq!((expired.kept_from, expired.known_from), (at(4), at(1)));
    database.collect(true).await.unwrap();
    assert_eq!(read_view(&t, &pinned).await.unwrap(), sum(0..10));
    drop(pinned);
    assert_eq!(t.expire(KEEP_NONE).await.unwrap().known_from, at(4));
    assert_eq!(database.collect(true).await.unwrap().files.len(), 3);
    assert_eq!(files_on_disk(folder.path()).len(), 1);
}

// Invariant 7 of the design: nothing pinned by any process is removed.
#[tokio::test(flavor = "multi_thread")]
async fn what_another_process_reads_is_kept_until_it_ends() {
    let (folder, database) = database().await;
    let t = table(&database, "t").await;
    t.append(rows(0..10)).await.unwrap();
    for access in [Access::ReadOnly, Access::ReadWrite] {
        let elsewhere = Database::builder(folder.path()).access(access).settings(settings()).open().await.unwrap();
        let other = existing(&elsewhere, "t").await;
        let pinned = other.view().await.unwrap();
        let expected = read_view(&other, &pinned).await.unwrap();
        let pinned_at = pinned.sequence();
        for _ in 0..3 {
            t.overwrite(rows(0..7)).await.unwrap();
        }
        assert_eq!(t.expire(KEEP_NONE).await.unwrap().known_from, pinned_at);
        database.collect(true).await.unwrap();
        // Another handle has none of the caches of this process: it needs the files and their checksums.
        assert_eq!(read_view(&other, &pinned).await.unwrap(), expected);
        let again = other.view().await.unwrap();
        assert_eq!(read_view(&other, &again).await.unwrap(), sum(0..7), "the latest is seen beside it");
        drop((pinned, again));
        assert_eq!(t.expire(KEEP_NONE).await.unwrap().known_from, t.view().await.unwrap().sequence());
        database.collect(true).await.unwrap();
        assert_eq!(files_on_disk(folder.path()).len(), 1);
        elsewhere.close().await.unwrap();
    }
    let left = std::fs::read_dir(folder.path().join("metadata/readers")).unwrap().count();
    assert_eq!(left, 0, "who has gone leaves nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_ended_without_a_word_holds_nothing() {
    let (folder, database) = database().await;
    let t = table(&database, "t").await;
    t.append(rows(0..10)).await.unwrap();
    let elsewhere = open(folder.path()).await;
    let pinned = existing(&elsewhere, "t").await.view().await.unwrap();
    // The pin files stay behind, but the lock does not, as when a process is killed.
    let readers = folder.path().join("metadata/readers");
    let left: Vec<_> = std::fs::read_dir(&readers).unwrap().map(|entry| entry.unwrap().path()).collect();
    drop((pinned, elsewhere));
    for path in left {
        std::fs::write(path, "").unwrap();
    }
    t.overwrite(rows(0..5)).await.unwrap();
    assert_eq!(t.expire(KEEP_NONE).await.unwrap().known_from, at(2));
    assert_eq!(std::fs::read_dir(&readers).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_a_dropped_table_outlive_its_readers_elsewhere() {
    let (folder, database) = database().await;
    let t = table(&database, "t").await;
    t.append(rows(0..10)).await.unwrap();
    let elsewhere = open(folder.path()).await;
    let other = existing(&elsewhere, "t").await;
    let pinned = other.view().await.unwrap();
    assert_eq!(read_view(&other, &pinned).await.unwrap(), sum(0..10));
    drop(t);
    assert!(database.drop_table(&name("t")).await.unwrap());
    assert_eq!(database.collect(true).await.unwrap().busy.len(), 1);
    assert_eq!(read_view(&other, &pinned).await.unwrap(), sum(0..10));
    drop(pinned);
    database.collect(true).await.unwrap();
    assert!(files_on_disk(folder.path()).is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_elsewhere_never_miss_a_file_while_history_goes() {
    let (folder, database) = database().await;
    let t = table(&database, "t").await;
    t.overwrite(rows(0..1)).await.unwrap();
    let elsewhere = open(folder.path()).await;
    let other = existing(&elsewhere, "t").await;
    let reads = tokio::spawn(async move {
        let mut seen = 0;
        while seen < 40 {
            let view = other.view().await.unwrap();
            let (count, sum) = read_view(&other, &view).await.unwrap();
            let count = i64::try_from(count).unwrap();
            assert_eq!(sum, (0..count).sum::<i64>());
            seen = count;
        }
    });
    for round in 2..=40 {
        t.overwrite(rows(0..round)).await.unwrap();
        t.expire(KEEP_NONE).await.unwrap();
        database.collect(true).await.unwrap();
    }
    reads.await.unwrap();
    assert_eq!(Arc::strong_count(&database), 1);
}
