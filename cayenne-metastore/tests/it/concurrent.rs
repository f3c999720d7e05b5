//! Concurrent callers: group commit, reads during writes, several metastores on one file, and callers that go away.

use std::sync::Arc;
use std::time::{Duration, Instant};

use cayenne_format::{Change, ErrorKind, NoSteps, Sequence, Step};
use cayenne_metastore::conformance::Samples;
use cayenne_metastore::{CommitLog, Metastore, SqliteMetastore};
use futures::future::join_all;

use crate::fixture::{Gate, append, fill, open, open_with, settings, table, try_open};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_commits_share_one_transaction() {
    let folder = tempfile::tempdir().unwrap();
    let gate = Gate::open_at(Step::BeginCommit);
    let metastore = Arc::new(open_with(folder.path().join("a.db"), gate.clone()).await);
    let samples = Samples::new(1);
    let of = table(metastore.as_ref(), &samples, "t").await;
    let before = metastore.transactions();
    gate.shut();
    let tasks: Vec<_> = (0..100)
        .map(|_| {
            let (metastore, commit) = (Arc::clone(&metastore), append(&samples, of));
            tokio::spawn(async move { metastore.commit(&[commit]).await })
        })
        .collect();
    gate.wait_for_writer();
    // The others arrive while the first waits at the gate, so that no caller is late.
    tokio::time::sleep(Duration::from_millis(100)).await;
    gate.open();
    let mut sequences: Vec<_> =
        join_all(tasks).await.into_iter().map(|done| done.unwrap().unwrap()[0].number()).collect();
    sequences.sort_unstable();
    assert_eq!(sequences, (1..=100).collect::<Vec<_>>());
    let took = metastore.transactions() - before;
    assert!(took < 10, "100 commits took {took} transactions");
    assert_eq!(metastore.load_snapshot(of.0, None).await.unwrap().files().len(), 100);
    metastore.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_commit_does_not_fail_its_neighbours() {
    let folder = tempfile::tempdir().unwrap();
    let gate = Gate::open_at(Step::BeginCommit);
    let metastore = Arc::new(open_with(folder.path().join("a.db"), gate.clone()).await);
    let samples = Samples::new(1);
    let of = table(metastore.as_ref(), &samples, "t").await;
    gate.shut();
    let tasks: Vec<_> = (0..60)
        .map(|number| {
            let mut commit = append(&samples, of);
            if number % 3 == 0 {
                // This commit is refused after it has made a change.
                commit.changes.push(Change::RemoveFile(samples.file_id()));
            }
            let metastore = Arc::clone(&metastore);
            tokio::spawn(async move { (number, metastore.commit(&[commit]).await) })
        })
        .collect();
    gate.wait_for_writer();
    gate.open();
    for done in join_all(tasks).await {
        let (number, result) = done.unwrap();
        assert_eq!(result.err().map(|error| error.kind()), (number % 3 == 0).then_some(ErrorKind::Invalid));
    }
    assert_eq!(metastore.load_log(of.0).await.unwrap().len(), 40);
    assert_eq!(metastore.load_snapshot(of.0, None).await.unwrap().files().len(), 40);
}

#[tokio::test]
async fn reads_do_not_wait_for_a_commit_under_way() {
    let folder = tempfile::tempdir().unwrap();
    let gate = Gate::open_at(Step::EndCommit);
    let metastore = Arc::new(open_with(folder.path().join("a.db"), gate.clone()).await);
    let samples = Samples::new(1);
    let of = table(metastore.as_ref(), &samples, "t").await;
    gate.shut();
    let (writer, commit) = (Arc::clone(&metastore), append(&samples, of));
    let task = tokio::spawn(async move { writer.commit(&[commit]).await });
    tokio::task::yield_now().await;
    gate.wait_for_writer();
    for _ in 0..10 {
        assert_eq!(metastore.load_snapshot(of.0, None).await.unwrap().sequence(), Sequence::ZERO);
        assert_eq!(metastore.list_tables().await.unwrap().len(), 1);
    }
    gate.open();
    task.await.unwrap().unwrap();
    assert_eq!(metastore.load_snapshot(of.0, None).await.unwrap().sequence().number(), 1, "a read after Ok sees it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_callers_than_the_queue_has_places_are_all_served() {
    let folder = tempfile::tempdir().unwrap();
    let gate = Gate::open_at(Step::BeginCommit);
    let metastore = Arc::new(open_with(folder.path().join("a.db"), gate.clone()).await);
    let samples = Samples::new(1);
    let of = table(metastore.as_ref(), &samples, "t").await;
    gate.shut();
    let tasks: Vec<_> = (0..2_500)
        .map(|_| {
            let (metastore, commit) = (Arc::clone(&metastore), samples.commit(of.0, of.1, Vec::new()));
            tokio::spawn(async move { metastore.commit(&[commit]).await })
        })
        .collect();
    gate.wait_for_writer();
    gate.open();
    assert!(join_all(tasks).await.into_iter().all(|done| done.unwrap().is_ok()));
    assert_eq!(metastore.load_log(of.0).await.unwrap().len(), 2_500);
}

// pitfalls 45 and 51
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_that_go_away_leave_whole_commits_and_a_clean_connection() {
    let folder = tempfile::tempdir().unwrap();
    let metastore = Arc::new(open(folder.path().join("a.db")).await);
    let samples = Samples::new(1);
    let of = table(metastore.as_ref(), &samples, "t").await;
    for round in 0..200 {
        let (metastore, commit) = (Arc::clone(&metastore), append(&samples, of));
        let task = tokio::spawn(async move { metastore.commit(&[commit]).await });
        for _ in 0..round % 4 {
            tokio::task::yield_now().await;
        }
        task.abort();
    }
    let last = metastore.commit(&[append(&samples, of)]).await.unwrap()[0];
    let snapshot = metastore.load_snapshot(of.0, None).await.unwrap();
    assert_eq!((snapshot.sequence(), snapshot.files().len() as u64), (last, last.number()));
}

// pitfall 51
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_metastores_on_one_file_take_turns() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let both = [Arc::new(open(&path).await), Arc::new(open(&path).await)];
    let samples = Samples::new(1);
    let of = [table(both[0].as_ref(), &samples, "a").await, table(both[1].as_ref(), &samples, "b").await];
    let mut tasks = Vec::new();
    for _ in 0..100 {
        for (metastore, of) in both.iter().zip(of) {
            let (metastore, commit) = (Arc::clone(metastore), append(&samples, of));
            tasks.push(tokio::spawn(async move { metastore.commit(&[commit]).await }));
        }
    }
    assert!(join_all(tasks).await.into_iter().all(|done| done.unwrap().is_ok()));
    for metastore in &both {
        for table in metastore.list_tables().await.unwrap() {
            assert_eq!(table.sequence.number(), 100);
            assert_eq!(metastore.load_snapshot(table.id, None).await.unwrap().files().len(), 100);
        }
    }
    both[0].close().await.unwrap();
    both[1].commit(&[append(&samples, of[1])]).await.expect("the other one stays open");
    both[1].close().await.unwrap();
    assert!(!path.with_extension("db-wal").exists(), "the last one to close leaves one file");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_file_can_be_opened_by_many_at_once() {
    for _ in 0..12 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let opened = join_all((0..8).map(|_| tokio::spawn(try_open(path.clone())))).await;
        let opened: Vec<_> = opened.into_iter().map(|done| done.unwrap().unwrap()).collect();
        opened[0].create_table(&Samples::new(1).table("t")).await.unwrap();
        for metastore in &opened {
            assert_eq!(metastore.list_tables().await.unwrap().len(), 1);
        }
    }
}

#[tokio::test]
async fn busy_file_is_waited_for_and_then_unavailable() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let settings = cayenne_metastore::SqliteSettings { busy_timeout: Duration::from_millis(100), ..settings() };
    let metastore = SqliteMetastore::open(&path, settings, Arc::new(NoSteps)).await.unwrap();
    let samples = Samples::new(1);
    let of = table(&metastore, &samples, "t").await;
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let started = Instant::now();
    let error = metastore.commit(&[append(&samples, of)]).await.unwrap_err();
    assert_eq!((error.kind(), error.stable_code()), (ErrorKind::Unavailable, "metastore-busy"));
    assert!(started.elapsed() >= Duration::from_millis(90));
    other.execute_batch("ROLLBACK").unwrap();
    metastore.commit(&[append(&samples, of)]).await.unwrap();
}

#[test]
fn no_runtime_is_needed() {
    let folder = tempfile::tempdir().unwrap();
    futures::executor::block_on(async {
        let metastore = open(folder.path().join("a.db")).await;
        fill(&metastore, &Samples::new(1)).await;
        metastore.close().await.unwrap();
    });
}

#[tokio::test]
async fn dropping_without_closing_keeps_what_was_committed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let samples = Samples::new(1);
    for round in 0..10 {
        let metastore = open(&path).await;
        metastore.create_table(&samples.table(&format!("t{round}"))).await.unwrap();
        assert_eq!(metastore.list_tables().await.unwrap().len(), round + 1);
    }
}

#[tokio::test]
async fn closing_leaves_one_file_and_may_be_asked_by_many() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let metastore = open(&path).await;
    fill(&metastore, &Samples::new(1)).await;
    assert!(join_all((0..4).map(|_| metastore.close())).await.into_iter().all(|closed| closed.is_ok()));
    let names: Vec<_> = folder.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["a.db"]);
}
