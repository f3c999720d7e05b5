//! Single rows, whole or in part: what a scan would show of them.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, Int64Array};
use cayenne_format::{DeletionMode, TableOptions};
use cayenne_table::{Database, Table, View};
use cayenne_testkit::CountingFs;

use crate::fixture::{database, existing, open, settings};
use crate::hooked_fs::{Asked, HookedFs};
use crate::keyed::{content, delete, files, inline, keyed, pairs};

fn keys(ids: &[i64]) -> [ArrayRef; 1] {
    [Arc::new(Int64Array::from(ids.to_vec()))]
}

async fn found(t: &Table, view: &View, ids: &[i64], columns: &[usize]) -> Vec<Vec<i64>> {
    let batches = t.lookup(view, &keys(ids), columns).await.unwrap();
    let mut rows = Vec::new();
    for batch in batches {
        let names: Vec<_> = columns.iter().map(|column| ["id", "value"][*column]).collect();
        let schema = batch.schema();
        assert_eq!(schema.fields().iter().map(|field| field.name().as_str()).collect::<Vec<_>>(), names);
        let columns: Vec<_> = batch.columns().iter().map(AsArray::as_primitive::<Int64Type>).collect();
        rows.extend((0..batch.num_rows()).map(|row| columns.iter().map(|column| column.value(row)).collect()));
    }
    rows
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_come_in_the_order_in_which_they_are_asked_for() {
    for options in [inline(), files()] {
        let (_folder, database) = database().await;
        let t = keyed(&database, options).await;
        t.append(pairs((0..500).map(|id| (id, id + 1_000)))).await.unwrap();
        let view = t.view().await.unwrap();
        for _ in 0..2 {
            assert_eq!(found(&t, &view, &[7, 3], &[0, 1]).await, [[3, 1_003], [7, 1_007]]);
            assert_eq!(found(&t, &view, &[7, 3], &[1, 0]).await, [[1_003, 3], [1_007, 7]]);
            assert_eq!(found(&t, &view, &[7, 3], &[1]).await, [[1_003], [1_007]]);
            assert_eq!(found(&t, &view, &[7, 9_999], &[]).await, [[0_i64; 0]]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_is_looked_up_as_its_view_shows_it() {
    for options in [inline(), files()] {
        let (_folder, database) = database().await;
        let t = keyed(&database, options).await;
        t.append(pairs((0..500).map(|id| (id, 0)))).await.unwrap();
        let before = t.view().await.unwrap();
        t.upsert(pairs([(1, 1), (2, 1)])).await.unwrap();
        delete(&t, [2, 3]).await.unwrap();
        for _ in 0..2 {
            let now = t.view().await.unwrap();
            assert_eq!(found(&t, &now, &[0, 1, 2, 3], &[0, 1]).await, [[0, 0], [1, 1]]);
            assert_eq!(found(&t, &before, &[0, 1, 2, 3], &[0, 1]).await, [[0, 0], [1, 0], [2, 0], [3, 0]]);
            t.flush().await.unwrap();
            database.collect(true).await.unwrap();
        }
    }
}

/// After a disk has failed once, reads work again.
#[tokio::test(flavor = "multi_thread")]
async fn a_read_that_fails_once_is_tried_again_by_the_next_lookup() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(folder.path()).await;
    let t = keyed(&first, files()).await;
    t.append(pairs((0..300_000_i64).map(|id| (id, id * 7_919 % 1_000)))).await.unwrap();
    drop(t);
    first.close().await.unwrap();
    let fails = Arc::new(AtomicBool::new(false));
    let fs = HookedFs::new({
        let fails = Arc::clone(&fails);
        move |asked, path| {
            let is_data = path.extension().is_some_and(|extension| extension == "vortex");
            if is_data && matches!(asked, Asked::Read | Asked::Open) && fails.load(Ordering::SeqCst) {
                return Err(io::ErrorKind::TimedOut.into());
            }
            Ok(())
        }
    });
    let database = Database::builder(folder.path()).fs(fs).settings(settings()).open().await.unwrap();
    let t = existing(&database, "t").await;
    let view = t.view().await.unwrap();
    let mut failed = 0;
    for id in [1, 299_999, 150_000] {
        fails.store(true, Ordering::SeqCst);
        failed += usize::from(t.lookup(&view, &keys(&[id]), &[0, 1]).await.is_err());
        fails.store(false, Ordering::SeqCst);
        assert_eq!(found(&t, &view, &[id], &[0, 1]).await, [[id, id * 7_919 % 1_000]]);
    }
    assert!(failed > 0, "nothing was read");
}

/// Otherwise, opening databases often would use up file descriptors and threads.
#[tokio::test(flavor = "multi_thread")]
async fn a_closed_database_keeps_nothing_open() {
    for mode in [DeletionMode::Position, DeletionMode::Key] {
        let folder = tempfile::tempdir().unwrap();
        let fs = Arc::new(CountingFs::default());
        let builder = Database::builder(folder.path()).settings(settings());
        let database = builder.fs(Arc::clone(&fs) as _).open().await.unwrap();
        let t = keyed(&database, TableOptions { deletion_mode: mode, ..files() }).await;
        t.append(pairs((0..5_000).map(|id| (id, 0)))).await.unwrap();
        t.upsert(pairs([(7, 1), (8, 1)])).await.unwrap();
        let view = t.view().await.unwrap();
        assert_eq!(found(&t, &view, &[7, 3], &[0, 1]).await, [[3, 0], [7, 1]]);
        assert_eq!(content(&t).await.len(), 5_000);
        drop((t, view));
        database.close().await.unwrap();
        drop(database);
        let deadline = Instant::now() + Duration::from_secs(10);
        while Arc::strong_count(&fs) > 1 {
            assert!(Instant::now() < deadline, "{} still have the file system", Arc::strong_count(&fs) - 1);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
