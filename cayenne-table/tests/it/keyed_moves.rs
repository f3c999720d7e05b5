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

/// Only the process that has moved rows knows their new positions. Another process must not take them for hidden.
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

/// Keys are exchanged in one statement. A key that another row keeps is an error.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_come_for_others_may_exchange_keys_and_take_none_that_stays() {
    for options in [inline(), files()] {
        let (_folder, database) = database().await;
        let t = keyed(&database, options).await;
        t.append(pairs([(1, 10), (2, 20), (3, 30)])).await.unwrap();
        let with = async |ids: &[i64], new: Vec<(i64, i64)>| {
            let view = t.view().await.unwrap();
            let hidden = seen(&find(&t, &view, ids.iter().copied()).await.unwrap());
            t.change(RowChange { view: Arc::new(view), hidden, rows: pairs(new) }).await
        };
        let written = with(&[1, 2], vec![(2, 10), (1, 20)]).await.unwrap();
        assert_eq!((written.rows, written.rows_removed), (2, 2));
        assert_eq!(content(&t).await, [(1, 20), (2, 10), (3, 30)].into());
        for new in [vec![(3, 20)], vec![(7, 1), (7, 2)], vec![(1, 20), (3, 21)]] {
            let error = with(&[1], new.clone()).await.unwrap_err();
            assert_eq!(error.stable_code(), "duplicate-key", "{new:?}: {error:?}");
            assert_eq!(content(&t).await, [(1, 20), (2, 10), (3, 30)].into());
        }
        with(&[1, 3], vec![(3, 20)]).await.unwrap();
        assert_eq!(content(&t).await, [(2, 10), (3, 20)].into());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_another_table_are_refused() {
    let (_folder, database) = database().await;
    let t = keyed(&database, files()).await;
    t.append(pairs([(1, 1)])).await.unwrap();
    let other = database.create_table(&crate::fixture::name("other"), &crate::keyed::schema(), files()).await.unwrap();
    other.append(pairs([(1, 1)])).await.unwrap();
    let error = t.change(change_of(&other, &[1], None).await).await.unwrap_err();
    assert_eq!(error.stable_code(), "invalid-write", "{error:?}");
    assert_eq!((content(&t).await.len(), content(&other).await.len()), (1, 1));
}

/// A file that a repair takes out is removed with its index and with what hides its rows. Its keys may be added again.
#[tokio::test(flavor = "multi_thread")]
async fn keys_of_a_damaged_file_that_was_taken_out_may_come_again() {
    let (folder, first) = database().await;
    let t = keyed(&first, files()).await;
    t.append(pairs((0..100).map(|id| (id, 0)))).await.unwrap();
    t.append(pairs((100..200).map(|id| (id, 0)))).await.unwrap();
    delete(&t, [1, 101]).await.unwrap();
    let file = t.view().await.unwrap().files().next().unwrap().clone();
    let location = crate::keyed::folder_of(folder.path(), &t);
    drop(t);
    first.close().await.unwrap();
    std::fs::write(location.join(format!("{}.vortex", file.id)), b"damaged").unwrap();

    let second = open(folder.path()).await;
    let repaired = second.repair(cayenne_table::CheckDepth::Deep, true).await.unwrap();
    assert_eq!(repaired.len(), 1);
    let t = existing(&second, "t").await;
    t.append(pairs([(1, 5), (2, 5), (102, 5)])).await.unwrap();
    let found = content(&t).await;
    assert_eq!((found.len(), found[&1], found[&2], found[&102]), (101, 5, 5, 5));
    t.expire(t.options().retention).await.unwrap();
    second.collect(true).await.unwrap();
    let (indexes, deletions) = crate::keyed::expected_beside(&t.view().await.unwrap());
    assert_eq!((crate::keyed::beside(folder.path(), &t, "_keys").len(), indexes, deletions), (2, 2, 0));
    assert!(second.check(cayenne_table::CheckDepth::Deep).await.unwrap().problems.is_empty());
}
