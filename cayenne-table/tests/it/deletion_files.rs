//! Deletion files: read or refused, never ignored; folded, and kept for as long as a reader needs them.

use std::sync::Arc;

use cayenne_format::{Environment, Ids, InlineOptions, RandomIds, TableOptions};
use cayenne_table::{CheckDepth, Database, DatabaseSettings, ImportOptions, RowChange, Table};
use uuid::Uuid;

use crate::fixture::{database, existing, open, settings};
use crate::keyed::{
    Content, batch, beside, by_key, content, delete, expected_beside, files, find, inline, keyed, pairs, seen,
    try_content,
};

/// Number of rows. If every third one is hidden, the deletion vector is longer than the 8 KiB up to which it is inline.
const MANY: i64 = 600_000;

fn every_third() -> impl Iterator<Item = i64> {
    (0..MANY).filter(|id| id % 3 == 0)
}

fn rest() -> Content {
    (0..MANY).filter(|id| id % 3 != 0).map(|id| (id, 0)).collect()
}

/// Creates a table whose deletion file is not inline.
async fn with_file(database: &Database, options: TableOptions) -> Arc<Table> {
    let t = keyed(database, options).await;
    t.append(pairs((0..MANY).map(|id| (id, 0)))).await.unwrap();
    let view = t.view().await.unwrap();
    let hidden = seen(&find(&t, &view, every_third()).await.unwrap());
    let written = t.change(RowChange { view: Arc::new(view), hidden, rows: vec![] }).await.unwrap();
    assert_eq!(written.rows_removed, every_third().count() as u64);
    assert_eq!(expected_beside(&t.view().await.unwrap()).1, 1);
    t
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_deletion_file_is_a_file_and_survives_export_import_reopening_and_recovery() {
    survives_all(files()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_tombstone_file_is_a_file_and_survives_export_import_reopening_and_recovery() {
    survives_all(by_key(files())).await;
}

async fn survives_all(options: TableOptions) {
    let (folder, first) = database().await;
    let t = with_file(&first, options).await;
    assert_eq!(content(&t).await, rest());
    let slice = folder.path().join("slice");
    t.export(&slice).await.unwrap();
    let import = ImportOptions { name: Some(crate::fixture::name("copy")), replace: false };
    let (copy, _) = first.import(&slice, import).await.unwrap();
    assert_eq!(content(&copy).await, rest());
    // The copy has no key index, and answers all the same.
    copy.upsert(pairs([(0, 1), (1, 1)])).await.unwrap();
    let mut expected = rest();
    expected.extend([(0, 1), (1, 1)]);
    assert_eq!(content(&copy).await, expected);
    drop((t, copy));
    first.close().await.unwrap();

    let metadata = folder.path().join("metadata");
    std::fs::remove_dir_all(&metadata).unwrap();
    crate::rebuild::recover(folder.path()).await;
    let second = open(folder.path()).await;
    let t = existing(&second, "t").await;
    assert_eq!(content(&t).await, rest());
    assert_eq!(content(&*existing(&second, "copy").await).await, expected);
    assert!(second.check(CheckDepth::Deep).await.unwrap().problems.is_empty());
    assert_eq!(second.collect(true).await.unwrap().files, [""; 0]);
    t.upsert(pairs([(0, 5)])).await.unwrap();
    assert_eq!(content(&t).await.len(), rest().len() + 1);
}

/// Invariant I7: without the deletion file it is not known which rows are hidden, so nothing is read.
#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_file_that_is_missing_or_damaged_fails_whoever_reads_and_is_told_of() {
    fails_whoever_reads(files()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tombstone_file_that_is_missing_or_damaged_fails_whoever_reads_and_is_told_of() {
    fails_whoever_reads(by_key(files())).await;
}

async fn fails_whoever_reads(options: TableOptions) {
    let (folder, first) = database().await;
    let t = with_file(&first, options).await;
    let path = beside(folder.path(), &t, "_deletes").remove(0);
    let whole = std::fs::read(&path).unwrap();
    drop(t);
    first.close().await.unwrap();
    let flipped = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        Some(bytes)
    };
    let middle = whole.len() / 2;
    let damages: Vec<(&str, Option<Vec<u8>>)> = vec![
        ("missing-deletion", None),
        ("damaged-deletion", Some(Vec::new())),
        ("damaged-deletion", Some(whole[..middle].to_vec())),
        ("damaged-deletion", Some([whole.as_slice(), b"more"].concat())),
        ("damaged-deletion", flipped(0)),
        ("damaged-deletion", flipped(middle)),
        ("damaged-deletion", flipped(whole.len() - 1)),
        ("damaged-deletion", Some(vec![0; whole.len()])),
    ];
    for (at, (code, bytes)) in damages.into_iter().enumerate() {
        std::fs::remove_file(&path).unwrap();
        if let Some(bytes) = bytes {
            std::fs::write(&path, bytes).unwrap();
        }
        refuses_to_read(&folder, code, at).await;
        std::fs::write(&path, &whole).unwrap();
    }
    std::fs::remove_file(&path).unwrap();
    let dry = Database::builder(folder.path()).recover_from_manifests(true).await.unwrap();
    let codes: Vec<_> = dry.tables[0].problems.iter().map(cayenne_format::Error::stable_code).collect();
    assert_eq!(codes, ["missing-deletion"]);
    std::fs::create_dir(&path).unwrap();
    refuses_to_read(&folder, "damaged-deletion", 100).await;
    std::fs::remove_dir(&path).unwrap();
    std::fs::write(&path, &whole).unwrap();
    let database = open(folder.path()).await;
    assert_eq!(content(&*existing(&database, "t").await).await, rest());
}

async fn refuses_to_read(folder: &tempfile::TempDir, code: &str, at: usize) {
    let database = open(folder.path()).await;
    let t = existing(&database, "t").await;
    let view = t.view().await.unwrap();
    let error = try_content(&t, &view).await.unwrap_err();
    assert_eq!(error.stable_code(), code, "{at}: {error:?}");
    // A write must not guess whether the rows are hidden.
    t.upsert(pairs([(0, 9), (1, 9)])).await.unwrap_err();
    t.append(pairs([(-1, 9)])).await.unwrap();
    delete(&t, [-1]).await.unwrap();
    let problems = database.check(CheckDepth::Quick).await.unwrap().problems;
    let damaged = problems.iter().filter(|problem| matches!(problem.subject, cayenne_table::Subject::DeletionFile(_)));
    assert_eq!(damaged.count(), 1, "{at}: {problems:?}");
    // The damage cannot be repaired, and no data file is taken out for it.
    database.repair(CheckDepth::Deep, true).await.unwrap();
    try_content(&t, &t.view().await.unwrap()).await.unwrap_err();
    database.close().await.unwrap();
}

/// Rows are deleted a few at a time, thousands of times: the number of deletion files stays bounded, and no deletion is
/// lost.
#[tokio::test(flavor = "multi_thread")]
async fn deletion_files_stay_few_over_thousands_of_commits_and_hide_the_same_rows() {
    let (folder, database) = database().await;
    let options = TableOptions { inline: InlineOptions::default(), ..files() };
    let t = keyed(&database, options).await;
    t.append(pairs((0..5_000).map(|id| (id, 0)))).await.unwrap();
    t.append(pairs((5_000..10_000).map(|id| (id, 0)))).await.unwrap();
    let pinned = t.view().await.unwrap();
    let before = try_content(&t, &pinned).await.unwrap();
    let mut most = 0;
    for at in 0..2_500 {
        delete(&t, [at * 4]).await.unwrap();
        most = most.max(t.view().await.unwrap().snapshot().deletions().len());
    }
    database.close().await.unwrap();
    assert!(most < 700, "{most} deletion files at once");
    let expected: Content = (0..10_000).filter(|id| id % 4 != 0).map(|id| (id, 0)).collect();
    assert_eq!(try_content(&t, &pinned).await.unwrap(), before);
    drop((pinned, t, database));
    let database = open(folder.path()).await;
    let t = existing(&database, "t").await;
    assert_eq!(content(&t).await, expected);
    assert!(database.check(CheckDepth::Deep).await.unwrap().problems.is_empty());
}

/// Replaced files are removed once they are no longer read: not before, and not later.
#[tokio::test(flavor = "multi_thread")]
async fn folded_deletion_files_stay_for_whoever_reads_what_was_before() {
    let (folder, database) = database().await;
    let t = with_file(&database, TableOptions { inline: InlineOptions::default(), ..files() }).await;
    let here = t.view().await.unwrap();
    let elsewhere = open(folder.path()).await;
    let reader = existing(&elsewhere, "t").await;
    let there = reader.view().await.unwrap();
    // As many rows again: both files are folded into one.
    let view = t.view().await.unwrap();
    let hidden = seen(&find(&t, &view, (0..MANY).filter(|id| id % 3 == 1)).await.unwrap());
    t.change(RowChange { view: Arc::new(view), hidden, rows: vec![] }).await.unwrap();
    t.append(pairs([(-1, 0)])).await.unwrap();
    t.flush().await.unwrap();
    let expected: Content = (-1..MANY).filter(|id| id % 3 == 2 || *id == -1).map(|id| (id, 0)).collect();
    let (_, live) = expected_beside(&t.view().await.unwrap());
    assert_eq!(live, 1, "they were folded");
    for pins in [2, 1] {
        database.collect(true).await.unwrap();
        assert_eq!(beside(folder.path(), &t, "_deletes").len(), 2 + 1, "{pins} read the first");
        if pins == 2 {
            assert_eq!(try_content(&t, &here).await.unwrap(), rest());
        }
    }
    drop(here);
    t.expire(t.options().retention).await.unwrap();
    database.collect(true).await.unwrap();
    assert_eq!(try_content(&reader, &there).await.unwrap(), rest(), "another process reads it");
    drop(there);
    t.expire(t.options().retention).await.unwrap();
    database.collect(true).await.unwrap();
    assert_eq!(beside(folder.path(), &t, "_deletes").len(), 1);
    assert_eq!(content(&t).await, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn caches_without_room_give_the_same_answers() {
    for bytes in [0, 1, 500, 100_000_000] {
        let folder = tempfile::tempdir().unwrap();
        let settings = DatabaseSettings { key_index_cache_bytes: bytes, deletion_cache_bytes: bytes, ..settings() };
        let database = Database::builder(folder.path()).settings(settings).open().await.unwrap();
        let t =
            keyed(&database, TableOptions { inline: InlineOptions { max_rows: 100, ..inline().inline }, ..files() })
                .await;
        let mut expected = Content::new();
        for round in 0..12 {
            let ids = || (round * 311..round * 311 + 1_500).step_by(if round % 3 == 0 { 40 } else { 1 });
            t.upsert(pairs(ids().map(|id| (id, round)))).await.unwrap();
            expected.extend(ids().map(|id| (id, round)));
            delete(&t, ids().step_by(7)).await.unwrap();
            expected.retain(|id, _| !ids().step_by(7).any(|gone| gone == *id));
            if round % 4 == 3 {
                t.flush().await.unwrap();
            }
            assert_eq!(content(&t).await, expected, "{bytes} bytes, round {round}");
        }
        let view = t.view().await.unwrap();
        assert_eq!(find(&t, &view, -10..6_000).await.unwrap().len(), expected.len() as u64);
    }
}

/// Ids of a process whose clock is ahead of that of all later ones.
#[derive(Debug)]
struct IdsOfTheFuture;

impl Ids for IdsOfTheFuture {
    fn draw(&self) -> Uuid {
        Uuid::from_u128(RandomIds.draw().as_u128() | 1 << 127)
    }
}

/// The order of ids follows the clock; nothing may depend on it.
#[tokio::test(flavor = "multi_thread")]
async fn after_the_clock_was_set_back_hidden_rows_stay_hidden() {
    let folder = tempfile::tempdir().unwrap();
    let environment = Environment { ids: Arc::new(IdsOfTheFuture), ..Environment::default() };
    let first = Database::builder(folder.path()).settings(settings()).environment(environment).open().await.unwrap();
    let t = keyed(&first, TableOptions { inline: InlineOptions { max_rows: 8, ..inline().inline }, ..files() }).await;
    // One of them has the key of a later one, and is hidden from the beginning.
    t.append(pairs((0..20).map(|id| (id.max(1), id)))).await.unwrap();
    drop(t);
    first.close().await.unwrap();
    let second = open(folder.path()).await;
    let t = existing(&second, "t").await;
    let mut expected: Content = (1..20).map(|id| (id, id)).collect();
    for id in 2..12 {
        delete(&t, [id]).await.unwrap();
        expected.remove(&id);
        assert_eq!(content(&t).await, expected);
        t.append(pairs([(100 + id, 0)])).await.unwrap();
        expected.insert(100 + id, 0);
        if id % 2 == 1 {
            t.flush().await.unwrap();
        }
        assert_eq!(content(&t).await, expected, "after the delete of {id}");
    }
    assert!(second.check(CheckDepth::Deep).await.unwrap().problems.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_does_not_look_at_keys_is_not_asked_for_them() {
    let (_folder, database) = database().await;
    let options = TableOptions { conflict_detection: cayenne_format::ConflictDetection::None, ..files() };
    let t = keyed(&database, options).await;
    t.append(vec![cayenne_testkit::stream_of(vec![batch([(1, 1), (1, 2)]), batch([(1, 3)])])]).await.unwrap();
    t.append(pairs([(1, 4)])).await.unwrap();
    let view = t.view().await.unwrap();
    assert_eq!(view.snapshot().visible_rows(), Some(4), "its source is believed");
    // An index would find only one of the three rows in the first file.
    assert_eq!(find(&t, &view, [1]).await.unwrap_err().stable_code(), "no-primary-key");
    for error in [t.upsert(pairs([(1, 5)])).await, delete(&t, [1]).await] {
        assert_eq!(error.unwrap_err().stable_code(), "no-primary-key");
    }
}
