//! Key indexes: they make answers fast, and never change an answer.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use cayenne_format::{OnConflict, TableOptions};
use cayenne_table::{CheckDepth, Database, Table};
use cayenne_testkit::stream_of;

use crate::fixture::{database, existing, name, open, settings};
use crate::hooked_fs::{Asked, HookedFs};
use crate::keyed::{Content, batch, beside, content, delete, files, find, inline, keyed, pairs};

/// A table of three files of many pages, with rows that were hidden from the beginning and rows that were hidden later.
async fn worn(database: &Database, on_conflict: OnConflict) -> (Arc<Table>, Content) {
    let t = keyed(database, TableOptions { on_conflict, ..files() }).await;
    // Not in the order of the keys, and each key twice within the file.
    let first = (0..12_000).map(|at| (at * 7_919 % 6_000, at));
    t.append(vec![stream_of(vec![batch(first)])]).await.unwrap_or_else(|error| panic!("{error:?}"));
    t.upsert(pairs((5_000..9_000).map(|id| (id, -1)))).await.unwrap();
    t.append(pairs((9_000..10_000).map(|id| (id, -2)))).await.unwrap();
    delete(&t, (0..10_000).step_by(3)).await.unwrap();
    let content = content(&t).await;
    assert_eq!(content.len(), (0..10_000).filter(|id| id % 3 != 0).count());
    (t, content)
}

/// Reads and writes in every way that needs a key index.
async fn answers(root: &Path, expected: &Content, what: &str) {
    let database = open(root).await;
    let t = existing(&database, "t").await;
    let view = t.view().await.unwrap();
    assert_eq!(find(&t, &view, -5..10_005).await.unwrap().len(), expected.len() as u64, "{what}");
    assert_eq!(find(&t, &view, [0, 3, 6, -1, 20_000]).await.unwrap().len(), 0, "{what}");
    t.upsert(pairs([(1, 100), (3, 100), (5_001, 100), (9_001, 100)])).await.unwrap();
    delete(&t, [2, 3, 5_002, 9_002]).await.unwrap();
    let mut expected = expected.clone();
    expected.extend([(1, 100), (5_001, 100), (9_001, 100)]);
    expected.retain(|id, _| ![2, 3, 5_002, 9_002].contains(id));
    assert_eq!(content(&t).await, expected, "{what}");
    assert!(database.check(CheckDepth::Deep).await.unwrap().problems.is_empty(), "{what}");
    database.close().await.unwrap();
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// Invariant I7.
// pitfall 18
#[tokio::test(flavor = "multi_thread")]
async fn answers_are_the_same_whatever_became_of_the_key_indexes() {
    for on_conflict in [OnConflict::Upsert, OnConflict::Drop] {
        let (folder, first) = database().await;
        let (t, expected) = worn(&first, on_conflict).await;
        let indexes = beside(folder.path(), &t, "_keys");
        assert!(indexes.len() >= 3);
        let at = indexes[0].strip_prefix(folder.path()).unwrap().to_owned();
        // The index of a table with the same rows, whose keys are hashed with another seed.
        let twin = first.create_table(&name("twin"), &crate::keyed::schema(), files()).await.unwrap();
        twin.append(pairs((0..12_000).map(|id| (id, 0)))).await.unwrap();
        let of_another_table = std::fs::read(&beside(folder.path(), &twin, "_keys")[0]).unwrap();
        drop((t, twin));
        first.close().await.unwrap();
        let whole = std::fs::read(&indexes[0]).unwrap();
        let length = whole.len();
        let flipped = |at: usize| {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x10;
            bytes
        };
        let mut contents = vec![
            ("empty".to_owned(), Vec::new()),
            ("of another file".to_owned(), std::fs::read(&indexes[1]).unwrap()),
            ("of another table".to_owned(), of_another_table),
            ("zeros".to_owned(), vec![0; length]),
            ("longer".to_owned(), [whole.as_slice(), &[0; 9]].concat()),
        ];
        contents.extend([1, length / 2, length - 1].map(|end| (format!("{end} bytes"), whole[..end].to_vec())));
        // In the first page, in one of the middle, in the head, in the tail.
        let places = [0, 30, length / 4, length / 2, length - 60, length - 16, length - 1];
        contents.extend(places.map(|place| (format!("byte {place} flipped"), flipped(place))));
        for (what, bytes) in contents {
            let damaged = tempfile::tempdir().unwrap();
            copy(folder.path(), damaged.path());
            std::fs::write(damaged.path().join(&at), bytes).unwrap();
            answers(damaged.path(), &expected, &format!("{on_conflict}: {what}")).await;
        }
        for what in ["missing", "all missing", "a folder", "a file for the folder"] {
            let damaged = tempfile::tempdir().unwrap();
            copy(folder.path(), damaged.path());
            let (at, all) = (damaged.path().join(&at), damaged.path().join(&at).parent().unwrap().to_owned());
            match what {
                "missing" => std::fs::remove_file(&at).unwrap(),
                "all missing" => std::fs::remove_dir_all(&all).unwrap(),
                "a folder" => {
                    std::fs::remove_file(&at).unwrap();
                    std::fs::create_dir(&at).unwrap();
                }
                _ => {
                    std::fs::remove_dir_all(&all).unwrap();
                    std::fs::write(&all, b"").unwrap();
                    let database = open(damaged.path()).await;
                    let t = existing(&database, "t").await;
                    let view = t.view().await.unwrap();
                    let found = find(&t, &view, -5..10_005).await.unwrap();
                    assert_eq!(found.len(), expected.len() as u64, "{what}");
                    delete(&t, [1]).await.unwrap();
                    continue;
                }
            }
            answers(damaged.path(), &expected, &format!("{on_conflict}: {what}")).await;
        }
    }
}

/// Invariant I10: a cached index takes memory and no open file, because a table has as many indexes as data files.
#[tokio::test(flavor = "multi_thread")]
async fn no_key_index_stays_open_after_it_was_read() {
    let folder = tempfile::tempdir().unwrap();
    let (open_now, most) = (Arc::new(AtomicI64::new(0)), Arc::new(AtomicI64::new(0)));
    let fs = HookedFs::new({
        let (open_now, most) = (Arc::clone(&open_now), Arc::clone(&most));
        move |asked, path| {
            let is_index = path.extension().is_some_and(|extension| extension == "keys");
            match asked {
                Asked::Open if is_index => {
                    let now = open_now.fetch_add(1, Ordering::SeqCst) + 1;
                    most.fetch_max(now, Ordering::SeqCst);
                }
                Asked::Close if is_index => {
                    open_now.fetch_sub(1, Ordering::SeqCst);
                }
                _ => {}
            }
            Ok(())
        }
    });
    let database = Database::builder(folder.path()).fs(fs).settings(settings()).open().await.unwrap();
    let t = keyed(&database, files()).await;
    for file in 0..30 {
        t.append(pairs((0..10).map(|id| (file * 10 + id, 0)))).await.unwrap();
    }
    t.upsert(pairs((0..300).map(|id| (id, 1)))).await.unwrap();
    let view = t.view().await.unwrap();
    assert_eq!(find(&t, &view, 0..300).await.unwrap().len(), 300);
    assert_eq!(open_now.load(Ordering::SeqCst), 0);
    assert!((1..4).contains(&most.load(Ordering::SeqCst)), "{most:?} were open at once");
}

/// Of several rows with one key in a statement, the last one counts, the first one, or none, wherever they are.
// pitfall 22
#[tokio::test(flavor = "multi_thread")]
async fn duplicates_within_a_statement_are_settled_wherever_they_are() {
    // More than 2 MiB, so that a batch becomes several files of about 1 MiB.
    let many = || (0..300_000_i64).map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15_u64.cast_signed()), at));
    let key = many().nth(50).unwrap().0;
    for options in [inline(), TableOptions { target_file_size_mb: std::num::NonZeroU64::MIN, ..files() }] {
        for (on_conflict, expected) in
            [(OnConflict::Upsert, Some(9)), (OnConflict::Drop, Some(1)), (OnConflict::Error, None)]
        {
            for shape in ["batch", "batches", "streams", "files"] {
                let (folder, database) = database().await;
                let t = keyed(&database, TableOptions { on_conflict, ..options.clone() }).await;
                let rows = match shape {
                    "batch" => vec![stream_of(vec![batch([(key, 1), (7, 7), (key, 5), (key, 9)])])],
                    "batches" => vec![stream_of([1, 5, 9].map(|value| batch([(key, value)])).to_vec())],
                    "streams" => [1, 5, 9].map(|value| stream_of(vec![batch([(key, value)])])).into(),
                    _ => {
                        let between = many().filter(|(id, _)| *id != key);
                        let all = [(key, 1)].into_iter().chain(between.clone()).chain([(key, 9)]);
                        vec![stream_of(vec![batch(all)])]
                    }
                };
                let what = format!("{on_conflict}, {shape}");
                let written = t.append(rows).await;
                match expected {
                    None => {
                        let error = written.unwrap_err();
                        assert_eq!(error.stable_code(), "duplicate-key", "{what}");
                        assert!(error.to_string().contains(&format!("id = {key}")), "{error}");
                        assert_eq!(t.view().await.unwrap().sequence().number(), 0, "{what}");
                        database.collect(true).await.unwrap();
                        assert!(beside(folder.path(), &t, "_keys").is_empty(), "{what}");
                    }
                    Some(value) => {
                        let written = written.unwrap();
                        if shape == "files" && !options.inline.is_on() {
                            assert!(written.files > 1, "one file of {} rows", written.rows);
                        }
                        let found = content(&t).await;
                        assert_eq!(found.get(&key), Some(&value), "{what}");
                        assert_eq!(written.rows, found.len() as u64, "{what}");
                        // Both rows exist already.
                        let again = t.append(pairs([(key, 10)])).await.unwrap();
                        assert_eq!(
                            again.rows + again.rows_removed,
                            if on_conflict == OnConflict::Drop { 0 } else { 2 }
                        );
                    }
                }
            }
        }
    }
}

/// A source that sends existing rows again adds nothing: no file, no snapshot.
// pitfall 117
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_all_left_out_leave_no_file_and_no_snapshot() {
    for options in [inline(), files()] {
        let (folder, database) = database().await;
        let t = keyed(&database, TableOptions { on_conflict: OnConflict::Drop, ..options }).await;
        t.append(pairs((0..100).map(|id| (id, 0)))).await.unwrap();
        let (sequence, files) = (t.view().await.unwrap().sequence(), t.view().await.unwrap().files().len());
        for _ in 0..3 {
            let written = t.append(pairs((0..100).map(|id| (id, 1)))).await.unwrap();
            assert_eq!((written.rows, written.rows_removed, written.files, written.sequence), (0, 0, 0, sequence));
        }
        assert_eq!(t.view().await.unwrap().files().len(), files);
        let stored = crate::keyed::expected_beside(&t.view().await.unwrap()).0;
        assert_eq!(crate::fixture::files_on_disk(folder.path()).len(), stored);
        assert_eq!(beside(folder.path(), &t, "_keys").len(), stored);
        // Of two files of a statement, only the one with a new row stays.
        let both = vec![pairs((0..10).map(|id| (id, 2))).remove(0), pairs([(5, 2), (200, 2)]).remove(0)];
        let written = t.append(both).await.unwrap();
        assert_eq!((written.rows, written.files), (1, 1));
        assert_eq!(content(&t).await.len(), 101);
        // The source position is committed all the same.
        let source = || cayenne_format::SourcePosition { stream: "s".into(), position: 4 };
        assert!(!t.append_from(source(), pairs([(1, 9)])).await.unwrap().is_repeated);
        assert!(t.append_from(source(), pairs([(1_000, 9)])).await.unwrap().is_repeated);
        assert_eq!(content(&t).await.len(), 101);
        t.flush().await.unwrap();
        assert!(database.check(CheckDepth::Deep).await.unwrap().problems.is_empty());
    }
}
