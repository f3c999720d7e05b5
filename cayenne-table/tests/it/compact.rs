//! Compaction on demand: fewer and larger files, the same rows.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use cayenne_format::{DeletionMode, ErrorKind, RetentionOptions, TableOptions};
use cayenne_table::{Access, CheckDepth, Database, Reason, Table};
use futures::TryStreamExt;
use tokio::runtime::Handle;

use crate::fixture::{database, existing, files_on_disk, open, settings};
use crate::hooked_fs::{Asked, HookedFs};
use crate::keyed::{Content, by_key, changes, content, delete, files, find, inline, keyed, pairs};

/// A table of `count` files of ten rows, in each of which some are hidden.
async fn many_files(database: &Database, options: TableOptions, count: i64) -> (Arc<Table>, Content) {
    let t = keyed(database, options).await;
    for file in 0..count {
        t.append(pairs((file * 10..file * 10 + 10).map(|id| (id, 0)))).await.unwrap();
    }
    delete(&t, (0..count * 10).step_by(7)).await.unwrap();
    t.upsert(pairs([(1, 1), (12, 1), (count * 10, 1)])).await.unwrap();
    let content = content(&t).await;
    (t, content)
}

/// The keys in the order in which a scan has them.
async fn in_order(t: &Table) -> Vec<i64> {
    let view = t.view().await.unwrap();
    let mut ids = Vec::new();
    for file in view.files() {
        let mut rows = t.read(file).await.unwrap();
        while let Some(batch) = rows.try_next().await.unwrap() {
            ids.extend(batch.column(0).as_primitive::<Int64Type>().values());
        }
    }
    ids
}

async fn nothing_is_wrong(database: &Database, t: &Arc<Table>) {
    t.expire(RetentionOptions::default()).await.unwrap();
    database.collect(true).await.unwrap();
    let problems = database.check(CheckDepth::Deep).await.unwrap().problems;
    assert!(problems.is_empty(), "{problems:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_files_become_one_with_the_rows_that_are_visible_in_their_order() {
    for options in [files(), inline(), by_key(files()), by_key(inline())] {
        let (folder, database) = database().await;
        let (t, before) = many_files(&database, options, 6).await;
        let earlier = t.view().await.unwrap();
        let passes = t.compact(None).await.unwrap();
        assert_eq!(content(&t).await, before);
        // The inline rows are one file after the flush.
        assert!(passes.last().is_none_or(|last| last.rows == before.len() as u64), "{passes:?}");
        assert!(passes.iter().all(|pass| pass.reason == Reason::Manual && pass.inputs > 0 && pass.bytes_written > 0));
        let view = t.view().await.unwrap();
        assert_eq!((view.files().len(), view.snapshot().hidden_rows()), (1, 0));
        let mut expected: Vec<i64> = before.keys().copied().filter(|id| ![1, 12, 60].contains(id)).collect();
        expected.extend([1, 12, 60]);
        assert_eq!(in_order(&t).await, expected);
        // Every kind of lookup finds the rows in the new file.
        assert_eq!(find(&t, &view, 0..100).await.unwrap().len(), before.len() as u64);
        assert_eq!(t.compact(None).await.unwrap(), [], "there is nothing left to do");
        // A reader of the earlier view can go on reading it.
        assert!(crate::keyed::try_content(&t, &earlier).await.unwrap() == before);
        drop((view, earlier));
        nothing_is_wrong(&database, &t).await;
        assert_eq!(files_on_disk(folder.path()).len(), 1);
        t.upsert(pairs([(2, 2), (60, 2)])).await.unwrap();
        let after = content(&t).await;
        drop(t);
        database.close().await.unwrap();
        let database = open(folder.path()).await;
        assert_eq!(content(&*existing(&database, "t").await).await, after);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pass_takes_no_more_files_than_allowed() {
    let (_folder, database) = database().await;
    let (t, before) = many_files(&database, files(), 9).await;
    let passes = t.compact(Some(3)).await.unwrap();
    assert!(passes.len() > 2 && passes.iter().all(|pass| (1..=3).contains(&pass.inputs)), "{passes:?}");
    assert!(passes.is_sorted_by_key(|pass| pass.sequence));
    assert_eq!(content(&t).await, before);
    assert_eq!(t.view().await.unwrap().files().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_which_every_row_is_hidden_goes() {
    for options in [files(), by_key(files())] {
        let (_folder, database) = database().await;
        let t = keyed(&database, options).await;
        t.append(pairs([(1, 1), (2, 2)])).await.unwrap();
        t.append(pairs([(3, 3)])).await.unwrap();
        delete(&t, [1, 2, 3]).await.unwrap();
        t.compact(None).await.unwrap();
        assert_eq!(t.view().await.unwrap().files().len(), 0);
        assert_eq!(content(&t).await, Content::new());
        nothing_is_wrong(&database, &t).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn looking_changes_nothing_and_needs_no_writer() {
    let (folder, database) = database().await;
    let (t, before) = many_files(&database, files(), 7).await;
    let sequence = t.view().await.unwrap().sequence();
    drop(t);
    database.close().await.unwrap();
    let builder = Database::builder(folder.path()).settings(settings()).access(Access::ReadOnly);
    let reader = builder.open().await.unwrap();
    let t = existing(&reader, "t").await;
    let plan = t.compaction_plan().await.unwrap();
    assert_eq!((plan.sequence, plan.reads.files), (sequence, 8));
    let small = plan.findings.iter().find(|finding| finding.reason == Reason::Files).unwrap();
    assert_eq!((small.found, small.applies), (8, true));
    let next = plan.next.unwrap();
    assert_eq!((next.reason, next.files.len(), next.live_rows), (Reason::Deletes, 1, 7), "30 of 100 rows are hidden");
    let asked = plan.asked.unwrap();
    assert_eq!((asked.files.len(), asked.live_rows), (8, before.len() as u64));
    assert_eq!(t.compact(None).await.unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(content(&t).await, before);
}

/// What happens to a table while a pass has read its files and writes the new one.
#[derive(Clone, Copy, Debug)]
enum Meanwhile {
    Upsert,
    Delete,
    Apply,
    Append,
    Overwrite,
    Truncate,
}

impl Meanwhile {
    const ALL: [Self; 6] = [Self::Upsert, Self::Delete, Self::Apply, Self::Append, Self::Overwrite, Self::Truncate];

    async fn happen(self, t: &Arc<Table>) {
        match self {
            Self::Upsert => t.upsert(pairs([(2, 9), (33, 9), (70, 9)])).await.map(drop),
            Self::Delete => delete(t, [2, 33, 12]).await.map(drop),
            Self::Apply => t.apply(vec![changes([(2, None), (33, Some(9)), (71, Some(9))])], None).await.map(drop),
            Self::Append => t.append(pairs([(80, 9)])).await.map(drop),
            Self::Overwrite => t.overwrite(pairs([(5, 9)])).await.map(drop),
            Self::Truncate => t.truncate().await.map(drop),
        }
        .unwrap();
    }

    fn of(self, mut content: Content) -> Content {
        match self {
            Self::Upsert => content.extend([(2, 9), (33, 9), (70, 9)]),
            Self::Delete => content.retain(|id, _| ![2, 33, 12].contains(id)),
            Self::Apply => {
                content.remove(&2);
                content.extend([(33, 9), (71, 9)]);
            }
            Self::Append => content.extend([(80, 9)]),
            Self::Overwrite => content = [(5, 9)].into(),
            Self::Truncate => content.clear(),
        }
        content
    }
}

/// Invariants I2, I4 and I6.
#[tokio::test(flavor = "multi_thread")]
async fn what_happens_while_a_pass_writes_is_neither_lost_nor_undone() {
    for mode in [DeletionMode::Position, DeletionMode::Key] {
        for meanwhile in Meanwhile::ALL {
            let folder = tempfile::tempdir().unwrap();
            let begins = Arc::new(tokio::sync::Semaphore::new(0));
            let goes_on = Arc::new(std::sync::Barrier::new(2));
            let armed = Arc::new(AtomicBool::new(false));
            let fs = HookedFs::new({
                let (begins, goes_on, armed) = (Arc::clone(&begins), Arc::clone(&goes_on), Arc::clone(&armed));
                move |asked, path| {
                    let is_data = path.extension().is_some_and(|extension| extension == "vortex");
                    if asked == Asked::Create && is_data && armed.swap(false, Ordering::SeqCst) {
                        begins.add_permits(1);
                        goes_on.wait();
                    }
                    Ok(())
                }
            });
            let database = Database::builder(folder.path()).fs(fs).settings(settings()).open().await.unwrap();
            let (t, before) = many_files(&database, TableOptions { deletion_mode: mode, ..files() }, 5).await;
            armed.store(true, Ordering::SeqCst);
            let compaction = {
                let (t, handle) = (Arc::clone(&t), Handle::current());
                std::thread::spawn(move || handle.block_on(t.compact(None)))
            };
            drop(begins.acquire().await.unwrap());
            meanwhile.happen(&t).await;
            tokio::task::spawn_blocking(move || goes_on.wait()).await.unwrap();
            let passes = tokio::task::spawn_blocking(|| compaction.join().unwrap()).await.unwrap().unwrap();
            let what = format!("{meanwhile:?}, {mode}, {passes:?}");
            assert_eq!(content(&t).await, meanwhile.of(before), "{what}");
            let is_over = matches!(meanwhile, Meanwhile::Overwrite | Meanwhile::Truncate);
            assert_eq!(passes.is_empty(), is_over, "{what}");
            nothing_is_wrong(&database, &t).await;
            assert_eq!(files_on_disk(folder.path()).len(), t.view().await.unwrap().files().len(), "{what}");
        }
    }
}
