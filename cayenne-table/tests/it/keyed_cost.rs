//! What operations of a table with a primary key cost, counted and not timed.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cayenne_format::{InlineOptions, TableOptions};
use cayenne_metastore::MemoryMetastore;
use cayenne_table::{Database, RowChange};
use cayenne_testkit::{CountingFs, CountingMetastore};

use crate::fixture::{database, existing, settings};
use crate::hooked_fs::{Asked, HookedFs};
use crate::keyed::{changes, content, delete, files, find, inline, keyed, pairs, seen};

/// Large writes become files, and small ones stay in the metastore.
fn mixed() -> TableOptions {
    TableOptions { inline: InlineOptions { max_rows: 10, ..inline().inline }, ..files() }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upsert_of_a_few_rows_is_one_commit_and_a_warm_find_asks_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let metastore = Arc::new(CountingMetastore::new(Arc::new(MemoryMetastore::default())));
    let fs = Arc::new(CountingFs::default());
    let builder = Database::builder(folder.path()).fs(Arc::clone(&fs) as _);
    let database = builder.metastore(Arc::clone(&metastore) as _).open().await.unwrap();
    let t = keyed(&database, mixed()).await;
    for start in [0, 5_000] {
        t.append(pairs((start..start + 5_000).map(|id| (id, 0)))).await.unwrap();
    }
    t.upsert(pairs([(1, 1), (7_000, 1), (20_000, 1)])).await.unwrap();
    let asked = || (fs.syncs(), fs.opens(), fs.reads(), fs.lists(), metastore.calls());

    let before = asked();
    t.upsert(pairs([(2, 2), (7_001, 2), (20_000, 2), (20_001, 2)])).await.unwrap();
    let (syncs, opens, reads, lists, calls) = before;
    // The only fsync is that of the metastore.
    assert_eq!(asked(), (syncs, opens, reads, lists, calls + 1));
    t.apply(vec![changes([(3, None), (7_002, Some(3))])], None).await.unwrap();
    assert_eq!(asked(), (syncs, opens, reads, lists, calls + 2));

    let view = t.view().await.unwrap();
    assert_eq!(find(&t, &view, [2, 3, 7_001, 20_001, 99_999]).await.unwrap().len(), 3);
    assert_eq!(asked(), (syncs, opens, reads, lists, calls + 2), "a warm find asks somebody");
    // Keys that no row has are recognised by the head of the index.
    assert_eq!(find(&t, &view, 1_000_000..1_000_100).await.unwrap().len(), 0);
    assert_eq!(asked(), (syncs, opens, reads, lists, calls + 2));
    drop(view);
    assert_eq!(content(&t).await.len(), 10_000 - 1 + 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn opening_and_looking_reads_no_index_and_no_deletion_file() {
    const ROWS: i64 = 600_000;
    let (folder, first) = database().await;
    let t = keyed(&first, files()).await;
    t.append(pairs((0..ROWS).map(|id| (id, 0)))).await.unwrap();
    let view = t.view().await.unwrap();
    let hidden = seen(&find(&t, &view, (0..ROWS).step_by(3)).await.unwrap());
    t.change(RowChange { view: Arc::new(view), hidden, rows: vec![] }).await.unwrap();
    drop(t);
    first.close().await.unwrap();

    let asked = Arc::new(AtomicUsize::new(0));
    let fs = HookedFs::new({
        let asked = Arc::clone(&asked);
        move |what, path| {
            let is_beside = path.components().any(|part| part.as_os_str() == "_keys" || part.as_os_str() == "_deletes");
            if is_beside && what != Asked::Close {
                asked.fetch_add(1, Ordering::SeqCst);
            }
            Ok(())
        }
    });
    let database = Database::builder(folder.path()).fs(fs).settings(settings()).open().await.unwrap();
    let t = existing(&database, "t").await;
    let view = t.view().await.unwrap();
    assert_eq!(view.snapshot().visible_rows(), Some((ROWS * 2 / 3).cast_unsigned()), "it is known without a look");
    // Becoming the writer reads none of them either.
    t.append(vec![]).await.unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 0);
    assert_eq!(find(&t, &view, [0, 1]).await.unwrap().len(), 1);
    // The tail, the head, one page of the index; the deletion file; and opening each.
    assert!((1..10).contains(&asked.load(Ordering::SeqCst)), "{asked:?}");
}

/// What a commit writes to the metastore depends on what it changes, not on what the table holds.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_upsert_writes_does_not_grow_with_the_table() {
    let mut written = Vec::new();
    for (files_each, rows_each) in [(1, 20), (60, 2_000)] {
        let (folder, database) = database().await;
        let t = keyed(&database, mixed()).await;
        for start in (0..files_each).map(|file| file * rows_each) {
            t.append(pairs((start..start + rows_each).map(|id| (id, 0)))).await.unwrap();
        }
        t.upsert(pairs([(0, 1)])).await.unwrap();
        let before = log_bytes(folder.path());
        for id in 1..5 {
            t.upsert(pairs([(id, 1)])).await.unwrap();
        }
        delete(&t, [7]).await.unwrap();
        let after = log_bytes(folder.path());
        assert!(after > before, "the log of the metastore was begun anew");
        written.push(after - before);
    }
    assert!(written[1] <= written[0] * 3 / 2, "{written:?} bytes");
}

/// Returns the length of the write-ahead log of the metastore.
fn log_bytes(root: &Path) -> u64 {
    std::fs::metadata(root.join("metadata/cayenne.db-wal")).unwrap().len()
}
