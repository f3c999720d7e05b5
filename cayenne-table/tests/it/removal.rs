//! Background removal of files: whatever fails on the way, no file is removed that a reader or a recovery from
//! manifests needs.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cayenne_format::{CompactionOptions, Environment, RetentionOptions, Step, Steps};
use cayenne_storage::Fs;
use cayenne_table::{Access, CheckDepth, Database, DatabaseBuilder, DatabaseSettings, PinnedView, Table};
use cayenne_testkit::{FailingStep, LastSteps};
use tempfile::TempDir;

use crate::fixture::{existing, files_on_disk, open, settings};
use crate::hooked_fs::{Asked, HookedFs};
use crate::keyed::{Content, beside, content, delete, expected_beside, keyed, pairs, try_content};
use crate::maintain::{add_files, by_itself, passes, until, with};

fn often() -> cayenne_format::TableOptions {
    with(CompactionOptions { background_interval_ms: 20, ..CompactionOptions::default() })
}

fn builder(root: &Path, steps: Arc<dyn Steps>) -> DatabaseBuilder {
    let environment = Environment { steps, ..Environment::default() };
    Database::builder(root).settings(by_itself()).environment(environment)
}

/// A table with a file, and with files that are removed as soon as a view is released: with deletions, compacted and
/// overwritten.
struct Held {
    folder: TempDir,
    database: Arc<Database>,
    table: Arc<Table>,
    view: PinnedView,
}

async fn hold(builder: impl FnOnce(&Path) -> DatabaseBuilder) -> Held {
    let folder = tempfile::tempdir().unwrap();
    let database = builder(folder.path()).open().await.unwrap();
    let table = keyed(&database, often()).await;
    add_files(&table, 7).await;
    delete(&table, [0]).await.unwrap();
    let view = table.view().await.unwrap();
    table.append(pairs([(7, 7)])).await.unwrap();
    until("there is a pass", async || !passes(&table).is_empty()).await;
    table.overwrite(pairs([(1, 1), (2, 2)])).await.unwrap();
    let before: Content = (1..7).map(|id| (id, 0)).collect();
    assert_eq!(try_content(&table, &view).await.unwrap(), before, "what is read stays");
    Held { folder, database, table, view }
}

fn content_at_the_end() -> Content {
    Content::from([(1, 1), (2, 2)])
}

/// Checks that the database is whole, that a lost metastore can be rebuilt from the files on disk, and that a
/// collection leaves only files that are needed.
async fn require_whole(root: &Path) {
    for is_recovered in [false, true] {
        if is_recovered {
            std::fs::remove_dir_all(root.join("metadata")).unwrap();
            crate::rebuild::recover(root).await;
        }
        let database = open(root).await;
        let table = existing(&database, "t").await;
        assert_eq!(content(&table).await, content_at_the_end(), "recovered: {is_recovered}");
        let problems = database.check(CheckDepth::Deep).await.unwrap().problems;
        assert!(problems.is_empty(), "{problems:?}");
        table.expire(RetentionOptions { count: 0, seconds: 0 }).await.unwrap();
        database.collect(true).await.unwrap();
        assert_eq!(files_on_disk(root).len(), 1);
        let left = |what: &str| beside(root, &table, what).len();
        let expected = expected_beside(&table.view().await.unwrap());
        assert_eq!((left("_keys"), left("_deletes")), expected, "recovered: {is_recovered}");
        database.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removal_that_fails_at_any_step_takes_nothing_and_is_done_later() {
    for step in [Step::BeginCommit, Step::EndCommit, Step::WriteManifest, Step::RemoveFiles] {
        let steps = Arc::new(FailingStep::default());
        let held = hold(|root| builder(root, Arc::clone(&steps) as _)).await;
        let root = held.folder.path();
        let before = files_on_disk(root).len();
        assert!(before > 7, "{step}: {before}");
        steps.arm(step);
        drop(held.view);
        until(step.name(), async || steps.has_failed()).await;
        assert_eq!(content(&held.table).await, content_at_the_end(), "{step}");
        until("they go later", async || files_on_disk(root).len() == 1).await;
        held.database.close().await.unwrap();
        drop((held.table, held.database));
        require_whole(root).await;
    }
}

/// The process ends at each step of a removal.
#[tokio::test(flavor = "multi_thread")]
async fn a_removal_that_ends_at_any_step_leaves_what_collect_removes() {
    let mut seen = BTreeSet::new();
    for count in 0..12 {
        let steps = Arc::new(LastSteps::after(usize::MAX));
        let held = hold(|root| builder(root, Arc::clone(&steps) as _)).await;
        let root = held.folder.path().to_owned();
        steps.end_after(count);
        drop(held.view);
        until("it has ended", async || steps.have_ended() || files_on_disk(&root).len() == 1).await;
        drop((held.table, held.database));
        // The upkeep thread runs until it finds that it alone has the tables.
        until("it is let go", async || !is_locked(&root).await).await;
        seen.insert(files_on_disk(&root).len());
        require_whole(&root).await;
    }
    assert!(seen.contains(&1) && seen.len() > 1, "{seen:?}");
}

/// Returns whether a process is the writer of the table.
async fn is_locked(root: &Path) -> bool {
    let database = open(root).await;
    let written = existing(&database, "t").await.append(vec![]).await;
    database.close().await.unwrap();
    written.is_err()
}

/// A file that cannot be removed does not keep the others from being removed.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_removed_is_tried_again() {
    let is_refusing = Arc::new(AtomicBool::new(false));
    let refused = Arc::new(parking_lot::Mutex::new(BTreeSet::new()));
    let fs: Arc<dyn Fs> = HookedFs::new({
        let (is_refusing, refused) = (Arc::clone(&is_refusing), Arc::clone(&refused));
        move |asked, path| {
            let is_data = path.extension().is_some_and(|extension| extension == "vortex");
            if asked != Asked::Remove || !is_data || !is_refusing.load(Ordering::SeqCst) {
                return Ok(());
            }
            let mut refused = refused.lock();
            if refused.is_empty() || refused.contains(path) {
                refused.insert(path.to_owned());
                return Err(io::ErrorKind::PermissionDenied.into());
            }
            Ok(())
        }
    });
    let held = hold(|root| Database::builder(root).settings(by_itself()).fs(fs)).await;
    let root = held.folder.path();
    is_refusing.store(true, Ordering::SeqCst);
    drop(held.view);
    until("all others go", async || files_on_disk(root).len() == 2).await;
    assert_eq!(refused.lock().len(), 1);
    is_refusing.store(false, Ordering::SeqCst);
    until("it goes, too", async || files_on_disk(root).len() == 1).await;
    held.database.close().await.unwrap();
    drop((held.table, held.database));
    require_whole(root).await;
}

/// Files that another process reads stay as long as it reads them, whatever passes and removals there are.
#[tokio::test(flavor = "multi_thread")]
async fn what_another_process_reads_stays_beside_passes_and_removals() {
    const ROUNDS: i64 = 150;
    let folder = tempfile::tempdir().unwrap();
    let database = Database::builder(folder.path()).settings(by_itself()).open().await.unwrap();
    let eager = CompactionOptions { trigger_files: 2, background_interval_ms: 10, ..CompactionOptions::default() };
    let t = keyed(&database, with(eager)).await;
    t.upsert(pairs([(0, 0)])).await.unwrap();
    let is_over = Arc::new(AtomicBool::new(false));
    let reader = tokio::spawn({
        let (root, is_over) = (folder.path().to_owned(), Arc::clone(&is_over));
        async move {
            // The reader notices commits late, so it asks for snapshots that are about to expire.
            let settings = DatabaseSettings { poll_interval: Duration::from_millis(20), ..settings() };
            let database = Database::builder(root).access(Access::ReadOnly).settings(settings).open().await.unwrap();
            let t = existing(&database, "t").await;
            let mut reads = 0;
            while !is_over.load(Ordering::SeqCst) {
                let view = t.view().await.unwrap();
                let once = try_content(&t, &view).await.unwrap();
                tokio::time::sleep(Duration::from_millis(reads % 40)).await;
                assert_eq!(try_content(&t, &view).await.unwrap(), once, "a view that is held has changed");
                reads += 1;
            }
            reads
        }
    });
    for round in 0..ROUNDS {
        match round % 10 {
            9 => t.overwrite(pairs((0..5).map(|id| (id, round)))).await.unwrap(),
            _ => t.upsert(pairs((round % 3..5).map(|id| (id, round)))).await.unwrap(),
        };
    }
    is_over.store(true, Ordering::SeqCst);
    assert!(reader.await.unwrap() > 5);
    until("what nobody reads goes", async || {
        files_on_disk(folder.path()).len() == t.view().await.unwrap().files().len()
    })
    .await;
    assert_eq!(content(&t).await.len(), 5);
}

/// After a database is closed, its upkeep does not touch it, however often it looks at the tables.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_begins_once_a_database_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::builder(folder.path()).settings(by_itself()).open().await.unwrap();
    let eager = CompactionOptions { trigger_files: 2, background_interval_ms: 10, ..CompactionOptions::default() };
    drop(keyed(&database, with(eager)).await);
    database.close().await.unwrap();
    drop(database);
    for round in 0..40 {
        let database = Database::builder(folder.path()).settings(by_itself()).open().await.unwrap();
        let t = existing(&database, "t").await;
        t.upsert(pairs([(round, round), (0, round)])).await.unwrap();
        // About the time at which upkeep looks at the tables.
        tokio::time::sleep(Duration::from_micros(9_000 + round.unsigned_abs() * 50)).await;
        database.close().await.unwrap();
        // Another process may write at once, although this one still holds handles of the tables.
        let next = open(folder.path()).await;
        existing(&next, "t").await.upsert(pairs([(1_000 + round, 0)])).await.unwrap();
        next.close().await.unwrap();
        drop((t, database));
    }
    let database = open(folder.path()).await;
    assert_eq!(content(&*existing(&database, "t").await).await.len(), 80);
    let problems = database.check(CheckDepth::Deep).await.unwrap().problems;
    assert!(problems.is_empty(), "{problems:?}");
}
