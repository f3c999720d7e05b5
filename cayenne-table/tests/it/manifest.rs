//! Stored manifests: when they are written, what they follow, and when they are removed.

use std::num::NonZeroU64;
use std::path::Path;
use std::sync::Arc;

use cayenne_format::{RetentionOptions, Step};
use cayenne_table::{CheckDepth, Database, DatabaseSettings, Table};
use cayenne_testkit::{FailingStep, files_only, numbers_schema, stream_of};

use crate::fixture::{database, existing, name, open, open_with_steps, read, rows, settings, sum, table};
use crate::tree::tree;

/// The names of the manifests of a table, ordered by their sequences.
pub(crate) fn manifests(root: &Path, table: &Table) -> Vec<String> {
    let folder = root.join("data").join(&table.record().location).join("_manifest");
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter_map(|name| Some(name.strip_suffix(".manifest")?.to_owned())).collect();
    names.sort_by_key(|name| name.split_once('-').unwrap().1.parse::<u64>().unwrap());
    names
}

/// Changes a table in a process of its own.
async fn in_a_process<F: Future<Output = ()>>(root: &Path, change: impl FnOnce(Arc<Database>, Arc<Table>) -> F) {
    let database = open(root).await;
    let t = existing(&database, "t").await;
    change(Arc::clone(&database), t).await;
    database.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn closing_writes_a_whole_manifest_and_the_next_process_one_that_follows_it() {
    let (folder, database) = database().await;
    let t = table(&database, "t").await;
    for start in 0..5 {
        t.append(rows(start * 10..start * 10 + 10)).await.unwrap();
    }
    assert!(manifests(folder.path(), &t).is_empty(), "nothing is written before the database is closed");
    database.close().await.unwrap();
    assert_eq!(manifests(folder.path(), &t), ["0-5"]);
    in_a_process(folder.path(), async |_, t| {
        t.append(rows(50..60)).await.unwrap();
    })
    .await;
    assert_eq!(manifests(folder.path(), &t), ["0-5", "5-6"]);
    in_a_process(folder.path(), async |_, t| {
        t.append(rows(60..70)).await.unwrap();
        t.append(rows(70..80)).await.unwrap();
    })
    .await;
    assert_eq!(manifests(folder.path(), &t), ["0-5", "5-6", "6-8"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_changes_nothing_writes_no_manifest() {
    let (folder, database) = database().await;
    let t = table(&database, "t").await;
    t.append(rows(0..10)).await.unwrap();
    database.close().await.unwrap();
    let before = tree(&folder.path().join("data"));
    in_a_process(folder.path(), async |database, t| {
        assert_eq!(read(&t).await, sum(0..10));
        t.append(vec![]).await.unwrap();
        t.expire(RetentionOptions::default()).await.unwrap();
        database.collect(true).await.unwrap();
        assert!(database.check(CheckDepth::Deep).await.unwrap().problems.is_empty());
    })
    .await;
    assert_eq!(tree(&folder.path().join("data")), before);
    assert_eq!(manifests(folder.path(), &t), ["0-1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_follows_a_whole_manifest_never_outgrows_it() {
    let (folder, database) = database().await;
    let t = table(&database, "t").await;
    database.close().await.unwrap();
    let at = folder.path().join("data").join(&t.record().location).join("_manifest");
    let bytes = |name: &String| at.join(format!("{name}.manifest")).metadata().unwrap().len();
    let mut whole = 0;
    for start in 0..40 {
        in_a_process(folder.path(), async |_, t| {
            t.append(rows(start..start + 1)).await.unwrap();
        })
        .await;
        let names = manifests(folder.path(), &t);
        let last_whole = names.iter().rposition(|name| name.starts_with("0-")).unwrap();
        let followers: u64 = names[last_whole + 1..].iter().map(bytes).sum();
        let last = names.last().map_or(0, bytes);
        assert!(followers - last.min(followers) <= bytes(&names[last_whole]), "{names:?}");
        whole += usize::from(names.last().unwrap().starts_with("0-"));
        assert!(names.iter().filter(|name| name.starts_with("0-")).count() <= 2, "{names:?}");
    }
    assert!((2..20).contains(&whole), "{whole} of 40 manifests say everything");
}

#[tokio::test(flavor = "multi_thread")]
async fn so_many_commits_after_the_last_manifest_one_is_written_in_the_background() {
    let folder = tempfile::tempdir().unwrap();
    let settings = DatabaseSettings { manifest_interval: NonZeroU64::new(3).unwrap(), ..settings() };
    let database = Database::builder(folder.path()).settings(settings).open().await.unwrap();
    let t = table(&database, "t").await;
    for start in 0..2 {
        t.append(rows(start..start + 1)).await.unwrap();
    }
    assert!(manifests(folder.path(), &t).is_empty());
    t.append(rows(2..3)).await.unwrap();
    // Closing waits for the manifest, and finds nothing left to write.
    database.close().await.unwrap();
    assert_eq!(manifests(folder.path(), &t), ["0-3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_made_with_rows_or_without_has_a_manifest_once_the_database_is_closed() {
    let (folder, database) = database().await;
    let streams = vec![stream_of(vec![cayenne_testkit::numbers(0..10)])];
    let made = database.create_table_with(&name("t"), &numbers_schema(), files_only(), streams).await.unwrap();
    let empty = table(&database, "empty").await;
    database.close().await.unwrap();
    assert_eq!(manifests(folder.path(), &made), ["0-1"]);
    assert_eq!(manifests(folder.path(), &empty), ["0-0"]);
    let reopened = open(folder.path()).await;
    existing(&reopened, "empty").await.append(rows(0..1)).await.unwrap();
    assert!(reopened.check(CheckDepth::Deep).await.unwrap().problems.is_empty());
    reopened.close().await.unwrap();
    assert_eq!(manifests(folder.path(), &empty).last().unwrap(), "0-1");
}

#[tokio::test(flavor = "multi_thread")]
async fn dropping_a_table_removes_its_manifests_and_leaves_no_folder() {
    let (folder, database) = database().await;
    let t = table(&database, "t").await;
    t.append(rows(0..10)).await.unwrap();
    database.close().await.unwrap();
    in_a_process(folder.path(), async |database, t| {
        t.append(rows(0..10)).await.unwrap();
        // The table is still read: its files stay as long, but its manifests are removed at once.
        let reading = t.view().await.unwrap();
        assert!(database.drop_table(&name("t")).await.unwrap());
        assert!(manifests(folder.path(), &t).is_empty());
        drop(reading);
        database.collect(true).await.unwrap();
    })
    .await;
    assert_eq!(std::fs::read_dir(folder.path().join("data")).unwrap().count(), 0);
    assert_eq!(manifests(folder.path(), &t), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_was_not_dropped_after_all_has_a_manifest_at_the_next_close() {
    let (folder, first) = database().await;
    let t = table(&first, "t").await;
    t.append(rows(0..10)).await.unwrap();
    first.close().await.unwrap();
    let failing = Arc::new(FailingStep::default());
    let second = open_with_steps(folder.path(), Arc::clone(&failing) as _).await;
    failing.arm(Step::DropTable);
    second.drop_table(&name("t")).await.unwrap_err();
    assert!(failing.disarm());
    assert_eq!(read(&*existing(&second, "t").await).await, sum(0..10));
    second.close().await.unwrap();
    assert_eq!(manifests(folder.path(), &t), ["0-1"]);
}

// pitfall 63
#[tokio::test(flavor = "multi_thread")]
async fn an_old_metastore_put_back_is_reported_and_the_next_write_takes_nothing_for_its_own_future() {
    let (folder, first) = database().await;
    let t = table(&first, "t").await;
    t.append(rows(0..10)).await.unwrap();
    first.close().await.unwrap();
    let metastore = folder.path().join("metadata/cayenne.db");
    let old = std::fs::read(&metastore).unwrap();
    for start in [10, 20] {
        in_a_process(folder.path(), async |_, t| {
            t.append(rows(start..start + 10)).await.unwrap();
        })
        .await;
    }
    assert_eq!(manifests(folder.path(), &t), ["0-1", "1-2", "0-3"]);
    std::fs::write(&metastore, old).unwrap();

    let database = open(folder.path()).await;
    let report = database.check(CheckDepth::Deep).await.unwrap();
    let codes: Vec<_> = report.problems.iter().map(|problem| problem.error.stable_code()).collect();
    assert_eq!(codes, ["rolled-back-metastore"]);
    let before = tree(&folder.path().join("data"));
    for remove in [false, true] {
        let collected = database.collect(remove).await.unwrap();
        assert_eq!((collected.files.len(), collected.lost.len()), (0, 1), "what a recovery needs stays");
    }
    assert!(tree(&folder.path().join("data")) == before && !folder.path().join("aside").exists());
    let t = existing(&database, "t").await;
    t.append(rows(100..110)).await.unwrap();
    database.close().await.unwrap();
    assert_eq!(manifests(folder.path(), &t), ["0-1", "1-2"]);
    let aside: Vec<_> =
        tree(&folder.path().join("aside")).into_keys().filter(|path| path.extension().is_some()).collect();
    assert_eq!(aside.len(), 2, "{aside:?}");
    let database = open(folder.path()).await;
    assert!(database.check(CheckDepth::Deep).await.unwrap().problems.is_empty());
    assert_eq!(read(&*existing(&database, "t").await).await.0, 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_that_cannot_be_written_fails_no_close_and_the_next_close_writes_it() {
    let folder = tempfile::tempdir().unwrap();
    let failing = Arc::new(FailingStep::default());
    let first = open_with_steps(folder.path(), Arc::clone(&failing) as _).await;
    let t = table(&first, "t").await;
    t.append(rows(0..10)).await.unwrap();
    failing.arm(Step::WriteManifest);
    first.close().await.unwrap();
    assert!(failing.disarm(), "no manifest was begun");
    assert!(manifests(folder.path(), &t).is_empty());
    in_a_process(folder.path(), async |_, t| {
        t.append(rows(10..20)).await.unwrap();
    })
    .await;
    assert_eq!(manifests(folder.path(), &t), ["0-2"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn manifests_beside_appends_and_drops_wait_for_nobody_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let settings = DatabaseSettings { manifest_interval: NonZeroU64::MIN, ..settings() };
    let database = Database::builder(folder.path()).settings(settings).open().await.unwrap();
    for _ in 0..5 {
        let t = table(&database, "t").await;
        let appends = (0..4).map(|start| {
            let t = Arc::clone(&t);
            tokio::spawn(async move { t.append(rows(start..start + 1)).await })
        });
        for append in appends.collect::<Vec<_>>() {
            append.await.unwrap().unwrap();
        }
        assert!(database.drop_table(&name("t")).await.unwrap());
    }
    database.close().await.unwrap();
    assert_eq!(std::fs::read_dir(folder.path().join("data")).unwrap().count(), 0);
}

/// Histories cannot be told apart by their sequences: copies of the metastore that are exchanged have the same ones.
#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_follows_none_of_another_history() {
    let (folder, first) = database().await;
    let t = table(&first, "t").await;
    t.append(rows(0..10)).await.unwrap();
    first.close().await.unwrap();
    let metastore = folder.path().join("metadata/cayenne.db");
    let append = async |start: i64| {
        in_a_process(folder.path(), async |_, t| {
            t.append(rows(start..start + 10)).await.unwrap();
        })
        .await;
    };
    let old = std::fs::read(&metastore).unwrap();
    append(10).await;
    let right = std::fs::read(&metastore).unwrap();
    // Another history is written, to the same sequence, and the right one is put back.
    std::fs::write(&metastore, old).unwrap();
    append(1_000).await;
    std::fs::write(&metastore, right).unwrap();
    append(20).await;
    assert_eq!(manifests(folder.path(), &t).last().unwrap(), "0-3", "it says everything");
    std::fs::remove_file(&metastore).unwrap();
    crate::rebuild::recover(folder.path()).await;
    assert_eq!(read(&*existing(&*open(folder.path()).await, "t").await).await, sum(0..30));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fenced_writer_takes_no_manifest_away() {
    let (folder, first) = database().await;
    let t = table(&first, "t").await;
    t.append(rows(0..10)).await.unwrap();
    std::fs::remove_file(folder.path().join("metadata").join(format!("{}.lock", t.id()))).unwrap();
    let second = open(folder.path()).await;
    existing(&second, "t").await.append(rows(10..20)).await.unwrap();
    second.close().await.unwrap();
    let before = manifests(folder.path(), &t);
    assert!(!before.is_empty());
    assert_eq!(first.drop_table(&name("t")).await.unwrap_err().stable_code(), "fenced");
    assert_eq!(manifests(folder.path(), &t), before);
}
