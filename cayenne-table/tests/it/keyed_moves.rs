//! Rows that a statement has found in a view, and that other commits move or hide before its own.

use std::sync::Arc;

use cayenne_table::{RowChange, Table};

use crate::fixture::{database, existing, open};
use crate::keyed::{content, delete, files, find, inline, keyed, pairs, seen};

async fn change_of(table: &Arc<Table>, ids: &[i64], value: Option<i64>) -> RowChange {
    let view = table.view().await.unwrap();
    let hidden = seen(&find(table, &view, ids.iter().copied()).await.unwrap());
    let rows = value.map(|value| pairs(ids.iter().map(|id| (*id, value)))).unwrap_or_default();
    RowChange { view: Arc::new(view), hidden, rows }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_found_before_several_flushes_are_found_after_them() {
    let (_folder, database) = database().await;
    let t = keyed(&database, inline()).await;
    t.append(pairs((0..10).map(|id| (id, 0)))).await.unwrap();
    let removal = change_of(&t, &[1, 2, 3], None).await;
    let update = change_of(&t, &[4, 5], Some(1)).await;
    for round in 0..3 {
        t.append(pairs([(100 + round, 0)])).await.unwrap();
        delete(&t, [0, 6 + round]).await.unwrap();
        t.flush().await.unwrap();
    }
    assert_eq!(t.change(removal).await.unwrap().rows_removed, 3);
    assert_eq!(t.change(update).await.unwrap().rows_removed, 2);
    assert_eq!(content(&t).await, [(4, 1), (5, 1), (9, 0), (100, 0), (101, 0), (102, 0)].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_others_have_hidden_since_are_left_out_unless_others_come_in_their_place() {
    for options in [inline(), files()] {
        let (_folder, database) = database().await;
        let t = keyed(&database, options).await;
        t.append(pairs((0..6).map(|id| (id, 0)))).await.unwrap();
        let removal = change_of(&t, &[0, 1, 2], None).await;
        let update = change_of(&t, &[2, 3], Some(1)).await;
        delete(&t, [0]).await.unwrap();
        t.upsert(pairs([(1, 7)])).await.unwrap();
        t.flush().await.unwrap();
        // Row 1 is another row now.
        assert_eq!(t.change(removal).await.unwrap().rows_removed, 1);
        assert_eq!(content(&t).await, [(1, 7), (3, 0), (4, 0), (5, 0)].into());
        let error = t.change(update).await.unwrap_err();
        assert_eq!(error.stable_code(), "row-changed", "{error:?}");
        assert_eq!(content(&t).await, [(1, 7), (3, 0), (4, 0), (5, 0)].into());

        let (removal, update) = (change_of(&t, &[3], None).await, change_of(&t, &[4], Some(1)).await);
        t.overwrite(pairs([(3, 8), (4, 8)])).await.unwrap();
        assert_eq!(t.change(removal).await.unwrap().rows_removed, 0);
        assert_eq!(t.change(update).await.unwrap_err().stable_code(), "row-changed");
        assert_eq!(content(&t).await, [(3, 8), (4, 8)].into());
    }
}

/// Where rows went is known to the process that has moved them. Another one must not take them for hidden.
// pitfall 10
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_another_process_has_moved_since_are_not_taken_for_hidden() {
    let (folder, first) = database().await;
    let t = keyed(&first, inline()).await;
    t.append(pairs((0..6).map(|id| (id, 0)))).await.unwrap();
    let second = open(folder.path()).await;
    let reader = existing(&second, "t").await;
    let removal = change_of(&reader, &[1, 2], None).await;
    t.flush().await.unwrap();
    drop(t);
    first.close().await.unwrap();
    drop(first);
    let error = reader.change(removal).await.unwrap_err();
    assert_eq!(error.stable_code(), "row-changed", "{error:?}");
    let again = change_of(&reader, &[1, 2], None).await;
    assert_eq!(reader.change(again).await.unwrap().rows_removed, 2);
    assert_eq!(content(&reader).await, [(0, 0), (3, 0), (4, 0), (5, 0)].into());
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_found_in_a_view_of_the_past_are_not_taken_for_hidden() {
    let (_folder, database) = database().await;
    let mut options = inline();
    options.retention.count = 100;
    let t = keyed(&database, options).await;
    let past = t.append(pairs((0..6).map(|id| (id, 0)))).await.unwrap().sequence;
    for id in 6..9 {
        t.flush().await.unwrap();
        t.append(pairs([(id, 0)])).await.unwrap();
    }
    let view = t.view_at(past).await.unwrap();
    let hidden = seen(&find(&t, &view, [1, 2]).await.unwrap());
    let error = t.change(RowChange { view: Arc::new(view), hidden, rows: vec![] }).await.unwrap_err();
    assert_eq!(error.stable_code(), "row-changed", "{error:?}");
    assert_eq!(content(&t).await.len(), 9);
}
