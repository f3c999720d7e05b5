//! Writes to a table with a primary key that fail, whose caller stops waiting, or whose process ends, at every point
//! where that can happen. Each is done completely or not at all, an error means not at all, and no file is left behind.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use cayenne_format::{Error, InlineOptions, Result, Step, Steps, TableOptions};
use cayenne_table::{CheckDepth, Database, RowChange, Table, TableWrite};
use cayenne_testkit::LastSteps;
use parking_lot::Mutex;

use crate::cancel::polled;
use crate::fixture::{database, existing, open, open_with_steps, settings};
use crate::hooked_fs::{Asked, HookedFs};
use crate::keyed::{Content, beside, changes, content, expected_beside, files, find, inline, keyed, pairs, seen};

#[derive(Clone, Copy, Debug)]
enum Work {
    Upsert,
    Apply,
    Delete,
    Update,
    Flush,
    Compact,
    Overwrite,
    Staged,
}

const ALL: [Work; 8] =
    [Work::Upsert, Work::Apply, Work::Delete, Work::Update, Work::Flush, Work::Compact, Work::Overwrite, Work::Staged];

impl Work {
    async fn perform(self, t: &Arc<Table>) -> Result<()> {
        match self {
            Self::Upsert => t.upsert(pairs([(1, 9), (5, 9), (50, 9), (50, 10)])).await.map(drop),
            Self::Apply => {
                t.apply(vec![changes([(1, Some(9)), (5, None), (6, None), (6, Some(9))])], None).await.map(drop)
            }
            Self::Delete | Self::Update => {
                let view = t.view().await?;
                let hidden = seen(&find(t, &view, [2, 7, 21]).await?);
                let rows = if matches!(self, Self::Update) { pairs([(2, 9), (7, 9), (21, 9)]) } else { vec![] };
                t.change(RowChange { view: Arc::new(view), hidden, rows }).await.map(drop)
            }
            Self::Flush => t.flush().await.map(drop),
            Self::Compact => t.compact(None).await.map(drop),
            Self::Overwrite => t.overwrite(pairs([(1, 9), (1, 10)])).await.map(drop),
            Self::Staged => t.stage(pairs([(1, 9), (60, 9)]), None).await?.publish().await.map(drop),
        }
    }

    fn of(self, mut content: Content) -> Content {
        match self {
            Self::Upsert => content.extend([(1, 9), (5, 9), (50, 10)]),
            Self::Apply => {
                content.remove(&5);
                content.extend([(1, 9), (6, 9)]);
            }
            Self::Delete => content.retain(|id, _| ![2, 7, 21].contains(id)),
            Self::Update => content.extend([(2, 9), (7, 9), (21, 9)]),
            Self::Flush | Self::Compact => {}
            Self::Overwrite => content = [(1, 10)].into(),
            Self::Staged => content.extend([(1, 9), (60, 9)]),
        }
        content
    }
}

/// A database with a table of files and inline rows, some of which are hidden by several deletion files.
async fn worn(root: &Path, options: &TableOptions) -> Content {
    let database = open(root).await;
    let t = keyed(&database, options.clone()).await;
    t.append(pairs((0..20).map(|id| (id, 0)))).await.unwrap();
    t.append(pairs((20..25).map(|id| (id, 0)))).await.unwrap();
    for id in [0, 10, 11, 20] {
        t.apply(vec![changes([(id, None), (id + 30, Some(1))])], None).await.unwrap();
    }
    let content = content(&t).await;
    database.close().await.unwrap();
    content
}

fn both_options() -> [TableOptions; 2] {
    // The first write becomes a file; the others are inline.
    [files(), TableOptions { inline: InlineOptions { max_rows: 10, ..inline().inline }, ..files() }]
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

/// Invariant I6.
async fn nothing_is_left(root: &Path, database: &Database, t: &Arc<Table>, what: &str) {
    t.expire(t.options().retention).await.unwrap();
    database.collect(true).await.unwrap();
    let expected = expected_beside(&t.view().await.unwrap());
    assert_eq!((beside(root, t, "_keys").len(), beside(root, t, "_deletes").len()), expected, "{what}");
    let problems = database.check(CheckDepth::Deep).await.unwrap().problems;
    assert!(problems.is_empty(), "{what}: {problems:?}");
}

/// Makes one step fail, once.
#[derive(Debug, Default)]
struct NthStep {
    left: AtomicUsize,
    failed: Mutex<Option<Step>>,
}

impl Steps for NthStep {
    fn before(&self, step: Step) -> Result<()> {
        if self.left.fetch_sub(1, Ordering::SeqCst) == 0 {
            *self.failed.lock() = Some(step);
            return Err(Error::unavailable("step made to fail by a test").with("step", step));
        }
        Ok(())
    }
}

/// Invariants I2 and I11.
// pitfall 20, pitfall 111
#[tokio::test(flavor = "multi_thread")]
async fn a_write_of_which_any_step_fails_is_not_done_and_can_be_tried_again() {
    for options in both_options() {
        let whole = tempfile::tempdir().unwrap();
        let before = worn(whole.path(), &options).await;
        for work in ALL {
            let mut steps_failed = 0;
            for at in 0.. {
                let folder = tempfile::tempdir().unwrap();
                copy(whole.path(), folder.path());
                let steps = Arc::new(NthStep { left: AtomicUsize::new(usize::MAX), failed: Mutex::default() });
                let database = open_with_steps(folder.path(), Arc::clone(&steps) as _).await;
                let t = existing(&database, "t").await;
                t.append(vec![]).await.unwrap();
                steps.left.store(at, Ordering::SeqCst);
                let done = work.perform(&t).await;
                steps.left.store(usize::MAX, Ordering::SeqCst);
                let failed = steps.failed.lock().take();
                let what = format!("{work:?}, step {at}: {failed:?}");
                let Some(step) = failed else {
                    done.unwrap();
                    assert_eq!(content(&t).await, work.of(before.clone()), "{what}");
                    break;
                };
                steps_failed += 1;
                match &done {
                    // After the commit, no error is returned any more.
                    Ok(()) => {
                        let removes_later = matches!(work, Work::Compact);
                        assert!(removes_later || matches!(step, Step::SwapView | Step::RemoveFiles), "{what}");
                        assert_eq!(content(&t).await, work.of(before.clone()), "{what}");
                    }
                    Err(_) if matches!(work, Work::Staged) => {
                        let found = content(&t).await;
                        assert_eq!(found, before, "{what}");
                    }
                    Err(_) => {
                        assert_eq!(content(&t).await, before, "{what}");
                        work.perform(&t).await.unwrap();
                        assert_eq!(content(&t).await, work.of(before.clone()), "{what}");
                    }
                }
                if !matches!(work, Work::Staged) {
                    nothing_is_left(folder.path(), &database, &t, &what).await;
                }
            }
            assert!(steps_failed >= 4 || matches!(work, Work::Flush), "{work:?} takes {steps_failed} steps");
        }
    }
}

/// Invariants I1 and I2.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_whose_process_ends_after_any_step_is_whole_or_nothing() {
    for options in both_options() {
        let whole = tempfile::tempdir().unwrap();
        let before = worn(whole.path(), &options).await;
        for work in ALL {
            for at in 0.. {
                let folder = tempfile::tempdir().unwrap();
                copy(whole.path(), folder.path());
                let database = open_with_steps(folder.path(), Arc::new(LastSteps::after(at))).await;
                let t = existing(&database, "t").await;
                let done = work.perform(&t).await;
                drop((t, database));
                let what = format!("{work:?} ended after {at} steps: {done:?}");
                let database = open(folder.path()).await;
                let t = existing(&database, "t").await;
                t.append(vec![]).await.unwrap();
                let found = content(&t).await;
                let after = work.of(before.clone());
                assert!(found == after || (found == before && done.is_err()), "{what}: {found:?}");
                if done.is_err() && !matches!(work, Work::Staged) {
                    assert_eq!(found, before, "{what}");
                }
                nothing_is_left(folder.path(), &database, &t, &what).await;
                // The table can be used as if nothing had happened.
                t.upsert(pairs([(1, 77)])).await.unwrap();
                assert_eq!(content(&t).await.get(&1), Some(&77));
                if done.is_ok() {
                    break;
                }
            }
        }
    }
}

// pitfall 45
#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_is_dropped_at_any_poll_is_whole_or_nothing() {
    for options in both_options() {
        let whole = tempfile::tempdir().unwrap();
        let before = worn(whole.path(), &options).await;
        for work in ALL {
            for polls in 0..200 {
                let folder = tempfile::tempdir().unwrap();
                copy(whole.path(), folder.path());
                let database = open(folder.path()).await;
                let t = existing(&database, "t").await;
                t.append(vec![]).await.unwrap();
                let finished = polled(work.perform(&t), polls).await;
                // `collect` waits for a commit that was handed over.
                database.collect(false).await.unwrap();
                let (found, after) = (content(&t).await, work.of(before.clone()));
                let what = format!("{work:?} dropped after {polls} polls");
                assert!(found == after || (found == before && finished.is_none()), "{what}: {found:?}");
                if !matches!(work, Work::Staged) {
                    nothing_is_left(folder.path(), &database, &t, &what).await;
                }
                drop(t);
                database.close().await.unwrap();
                drop(database);
                let database = open(folder.path()).await;
                let t = existing(&database, "t").await;
                t.append(vec![]).await.unwrap();
                let now = content(&t).await;
                assert!(now == found || (matches!(work, Work::Staged) && now == after), "{what}, after reopening");
                if let Some(done) = finished {
                    done.unwrap();
                    break;
                }
            }
        }
    }
}

/// A full disk while the index of a data file, or a deletion file, is written.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_without_room_for_an_index_or_a_deletion_file_fails_the_write_and_nothing_else() {
    const ROWS: i64 = 600_000;
    let (is_full, refused) = (Arc::new(Mutex::new(None::<(Asked, &str)>)), Arc::new(AtomicBool::new(false)));
    let fs = HookedFs::new({
        let (is_full, refused) = (Arc::clone(&is_full), Arc::clone(&refused));
        move |asked, path| match *is_full.lock() {
            Some((what, folder)) if what == asked && path.components().any(|part| part.as_os_str() == folder) => {
                refused.store(true, Ordering::SeqCst);
                Err(io::ErrorKind::StorageFull.into())
            }
            _ => Ok(()),
        }
    });
    let folder = tempfile::tempdir().unwrap();
    // Nothing is compacted meanwhile: files that a pass leaves for the next expiry would make the result uncertain.
    let database = Database::builder(folder.path()).settings(settings()).fs(fs).open().await.unwrap();
    let t = keyed(&database, files()).await;
    t.append(pairs((0..ROWS).map(|id| (id, 0)))).await.unwrap();
    let before = content(&t).await;
    for name in ["_keys", "_deletes"] {
        for asked in [Asked::Create, Asked::Write, Asked::Sync] {
            *is_full.lock() = Some((asked, name));
            let error = t.upsert(pairs((0..ROWS).step_by(3).map(|id| (id, 1)))).await.unwrap_err();
            *is_full.lock() = None;
            assert!(refused.swap(false, Ordering::SeqCst));
            assert_eq!(error.kind(), cayenne_format::ErrorKind::ResourceLimit, "{name}, {asked:?}: {error:?}");
            assert_eq!(t.view().await.unwrap().sequence().number(), 1, "{name}, {asked:?}");
            nothing_is_left(folder.path(), &database, &t, &format!("{name}, {asked:?}")).await;
        }
    }
    assert_eq!(content(&t).await, before);
    t.upsert(pairs((0..ROWS).step_by(3).map(|id| (id, 1)))).await.unwrap();
    assert_eq!(content(&t).await.values().sum::<i64>(), ROWS / 3);
    nothing_is_left(folder.path(), &database, &t, "after all").await;
}

/// The first rows of a table conflict with each other.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_made_with_rows_of_one_key_has_the_last_or_was_never_there() {
    for on_conflict in
        [cayenne_format::OnConflict::Upsert, cayenne_format::OnConflict::Drop, cayenne_format::OnConflict::Error]
    {
        let (folder, database) = database().await;
        let options = TableOptions { on_conflict, ..files() };
        let rows = pairs([(1, 1), (2, 2), (1, 3)]);
        let made = database.create_table_with(&crate::fixture::name("t"), &crate::keyed::schema(), options, rows).await;
        match on_conflict {
            cayenne_format::OnConflict::Error => {
                assert_eq!(made.unwrap_err().stable_code(), "duplicate-key");
                assert!(database.tables().await.unwrap().is_empty());
                assert_eq!(std::fs::read_dir(folder.path().join("data")).unwrap().count(), 0);
            }
            other => {
                let kept = if other == cayenne_format::OnConflict::Drop { 1 } else { 3 };
                let t = made.unwrap();
                assert_eq!(content(&t).await, [(1, kept), (2, 2)].into());
                t.upsert(pairs([(1, 4)])).await.unwrap();
                assert_eq!(content(&t).await, [(1, 4), (2, 2)].into());
                nothing_is_left(folder.path(), &database, &t, "made").await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_are_written_together_are_written_all_or_none() {
    let (folder, database) = database().await;
    let of = |on_conflict| TableOptions { on_conflict, ..files() };
    let make = async |text: &str, on_conflict| {
        let name = crate::fixture::name(text);
        database.create_table(&name, &crate::keyed::schema(), of(on_conflict)).await.unwrap()
    };
    let upserts = make("upserts", cayenne_format::OnConflict::Upsert).await;
    let refuses = make("refuses", cayenne_format::OnConflict::Error).await;
    let drops = make("drops", cayenne_format::OnConflict::Drop).await;
    let all = [&upserts, &refuses, &drops];
    let write = async |ids: [i64; 2], value: i64| {
        let writes = all.map(|t| TableWrite::append(t, pairs(ids.map(|id| (id, value)))));
        database.write_together(writes.into()).await
    };
    write([1, 2], 1).await.unwrap();
    let error = write([2, 3], 2).await.unwrap_err();
    assert_eq!(error.stable_code(), "duplicate-key", "{error:?}");
    for t in all {
        assert_eq!(content(t).await, [(1, 1), (2, 1)].into());
        nothing_is_left(folder.path(), &database, t, t.name().as_str()).await;
    }
    let written = database
        .write_together(vec![
            TableWrite::append(&upserts, pairs([(2, 5), (3, 5)])),
            TableWrite::append(&refuses, pairs([(3, 5)])),
            TableWrite::append(&drops, pairs([(1, 5), (2, 5)])),
        ])
        .await
        .unwrap();
    assert_eq!(
        written.iter().map(|one| (one.rows, one.rows_removed, one.files)).collect::<Vec<_>>(),
        [(2, 1, 1), (1, 0, 1), (0, 0, 0)]
    );
    for (t, expected) in
        all.into_iter().zip([[(1, 1), (2, 5), (3, 5)].as_slice(), &[(1, 1), (2, 1), (3, 5)], &[(1, 1), (2, 1)]])
    {
        assert_eq!(content(t).await, expected.iter().copied().collect());
        nothing_is_left(folder.path(), &database, t, t.name().as_str()).await;
    }
}
