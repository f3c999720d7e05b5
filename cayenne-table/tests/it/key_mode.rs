//! Tables with deletion mode `key`, which hide rows by tombstones.

use cayenne_format::{ConflictDetection, Sequence, TableOptions};
use cayenne_table::{RowChange, View};

use crate::fixture::{database, existing, name, open};
use crate::keyed::{Content, by_key, content, delete, files, find, inline, keyed, pairs, schema, seen, try_content};

/// Returns how many tombstone files and deletion vectors a view has.
fn hiding(view: &View) -> (usize, usize) {
    (view.snapshot().tombstones().len(), view.snapshot().deletions().len())
}

fn of(pairs: impl IntoIterator<Item = (i64, i64)>) -> Content {
    pairs.into_iter().collect()
}

#[tokio::test]
async fn a_key_that_went_may_come_again() {
    for options in [files(), inline()] {
        let (folder, first) = database().await;
        let t = keyed(&first, by_key(options)).await;
        t.append(pairs((0..10).map(|id| (id, 0)))).await.unwrap();
        assert_eq!(delete(&t, [3, 4, 77]).await.unwrap().rows_removed, 2);
        assert_eq!(t.upsert(pairs([(4, 1), (5, 1), (50, 1)])).await.unwrap().rows_removed, 1);
        assert_eq!(delete(&t, [4]).await.unwrap().rows_removed, 1);
        t.append(pairs([(4, 2)])).await.unwrap();
        let expected = of([(0, 0), (1, 0), (2, 0), (4, 2), (5, 1), (6, 0), (7, 0), (8, 0), (9, 0), (50, 1)]);
        assert_eq!(content(&t).await, expected);
        let view = t.view().await.unwrap();
        assert_eq!(hiding(&view), (3, 0), "one for each commit that hid rows, and none by position");
        assert_eq!(view.snapshot().visible_rows(), None, "the manifest alone does not tell");
        let found = find(&t, &view, [3, 4, 5, 77]).await.unwrap();
        assert_eq!(found.len(), 2);
        drop((view, t));
        first.close().await.unwrap();
        let second = open(folder.path()).await;
        let t = existing(&second, "t").await;
        assert_eq!(content(&t).await, expected);
    }
}

/// Invariant: an earlier view shows the same rows, whatever happens to its tombstones.
#[tokio::test]
async fn tombstones_go_once_they_hide_nothing_and_the_past_keeps_its_own() {
    let (_folder, database) = database().await;
    let mut options = by_key(inline());
    options.retention.count = u64::MAX;
    let t = keyed(&database, options).await;
    t.append(pairs((0..10).map(|id| (id, 0)))).await.unwrap();
    delete(&t, [0, 1]).await.unwrap();
    let before = t.view().await.unwrap();
    let expected = content(&t).await;
    t.flush().await.unwrap();
    let view = t.view().await.unwrap();
    assert_eq!(hiding(&view), (0, 0), "their rows are not in the new file");
    assert_eq!(try_content(&t, &view).await.unwrap(), expected);
    delete(&t, [2]).await.unwrap();
    assert_eq!(hiding(&t.view().await.unwrap()), (1, 0));
    // The tombstone still hides rows of an earlier file, so it stays although the inline rows are flushed.
    t.append(pairs([(100, 0)])).await.unwrap();
    t.flush().await.unwrap();
    assert_eq!(hiding(&t.view().await.unwrap()), (1, 0));
    assert_eq!(t.overwrite(pairs([(2, 7)])).await.unwrap().rows_removed, 8);
    assert_eq!(hiding(&t.view().await.unwrap()), (0, 0));
    assert_eq!(content(&t).await, of([(2, 7)]));
    assert_eq!(try_content(&t, &before).await.unwrap(), expected);
    let then = t.view_at(Sequence::new(3).unwrap()).await.unwrap();
    assert_eq!(try_content(&t, &then).await.unwrap(), expected);
    delete(&t, [2]).await.unwrap();
    assert_eq!(t.truncate().await.unwrap().rows_removed, 0);
    assert_eq!(hiding(&t.view().await.unwrap()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_tombstone_files_become_deletion_vectors() {
    let (_folder, database) = database().await;
    let t = keyed(&database, by_key(files())).await;
    t.append(pairs((0..1_000).map(|id| (id, 0)))).await.unwrap();
    t.append(pairs((1_000..2_000).map(|id| (id, 0)))).await.unwrap();
    let mut most = 0;
    for id in 0..300 {
        delete(&t, [id, 1_999 - id]).await.unwrap();
        most = most.max(t.view().await.unwrap().snapshot().tombstones().len());
    }
    assert!(most < 130, "a flush in the background keeps them few: {most}");
    t.flush().await.unwrap();
    assert_eq!(content(&t).await, (300..1_700).map(|id| (id, 0)).collect());
    let view = t.view().await.unwrap();
    let (tombstones, vectors) = hiding(&view);
    assert!(tombstones < 64 && vectors > 0, "{tombstones} and {vectors}");
}

/// Rows that were found in a view and have been moved by a flush since are hidden by tombstones as well.
#[tokio::test]
async fn rows_that_moved_are_hidden_where_they_are() {
    let (_folder, database) = database().await;
    let t = keyed(&database, by_key(inline())).await;
    t.append(pairs((0..10).map(|id| (id, 0)))).await.unwrap();
    let view = t.view().await.unwrap();
    let hidden = seen(&find(&t, &view, [1, 2]).await.unwrap());
    t.flush().await.unwrap();
    let change = RowChange { view: view.into(), hidden, rows: pairs([(1, 5)]) };
    assert_eq!(t.change(change).await.unwrap().rows_removed, 2);
    assert_eq!(content(&t).await, of([(0, 0), (1, 5)].into_iter().chain((3..10).map(|id| (id, 0)))));
    assert_eq!(hiding(&t.view().await.unwrap()), (1, 0));
}

#[tokio::test]
async fn keys_that_nobody_compares_hide_no_rows() {
    let (_folder, database) = database().await;
    let refused = async |options: TableOptions| {
        database.create_table(&name("t"), &schema(), options).await.unwrap_err().stable_code().to_owned()
    };
    let options = by_key(files());
    assert_eq!(refused(TableOptions { primary_key: vec![], ..options.clone() }).await, "invalid-option");
    let conflict_detection = ConflictDetection::None;
    assert_eq!(refused(TableOptions { conflict_detection, ..options }).await, "invalid-option");
}
