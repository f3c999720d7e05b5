//! Slices: one table is exported to a folder of its own, and imported as a table.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cayenne_format::{ErrorKind, InlineOptions, Operation, SourcePosition, TableOptions};
use cayenne_table::{Access, CheckDepth, Database, ImportOptions, Table};
use cayenne_testkit::{files_only, numbers_schema};

use crate::cancel::polled;
use crate::fixture::{database, existing, name, open, read, rows, settings, sum, table};
use crate::keyed::{by_key, content, delete, files, keyed, pairs};
use crate::manifest::manifests;
use crate::tree::{FailingFs, tree};

fn source(position: u64) -> SourcePosition {
    SourcePosition { stream: "orders".into(), position }
}

pub(crate) fn named(text: &str) -> ImportOptions {
    ImportOptions { name: Some(name(text)), replace: false }
}

fn inline() -> TableOptions {
    let never_full = InlineOptions {
        flush_max_rows: u64::MAX,
        flush_max_segments: 0,
        flush_max_bytes: 0,
        ..InlineOptions::default()
    };
    TableOptions { inline: never_full, ..TableOptions::default() }
}

/// A slice of a table with data files, inline rows and a stream, in a folder of its own.
pub(crate) async fn slice() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let database = open(&folder.path().join("db")).await;
    let t = database.create_table(&name("t"), &numbers_schema(), inline()).await.unwrap();
    t.append(rows(0..2_000)).await.unwrap();
    t.append_from(source(7), rows(2_000..4_000)).await.unwrap();
    t.append(rows(4_000..4_010)).await.unwrap();
    let at = folder.path().join("slice");
    let contents = t.export(&at).await.unwrap();
    assert_eq!((contents.rows, contents.files, contents.sequence.number()), (4_010, 3, 3));
    database.close().await.unwrap();
    (folder, at)
}

async fn require_sound(database: &Database) {
    let report = database.check(CheckDepth::Deep).await.unwrap();
    assert!(report.problems.is_empty(), "{report:?}");
    let collected = database.collect(false).await.unwrap();
    assert!(collected.files.is_empty() && collected.folders.is_empty(), "{collected:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slice_becomes_the_table_it_was_elsewhere_as_often_as_one_likes() {
    let (_kept, at) = slice().await;
    let (folder, target) = database().await;
    table(&target, "other").await.append(rows(0..5)).await.unwrap();
    let before = tree(&at);
    let (t, contents) = target.import(&at, ImportOptions::default()).await.unwrap();
    assert_eq!((contents.rows, contents.files), (4_010, 3));
    assert_eq!(read(&t).await, sum(0..4_010));
    assert_eq!((t.name(), t.options()), (&name("t"), &inline()));
    let log = t.log().await.unwrap();
    assert_eq!((log.len(), log[0].operation, log[0].sequence.number()), (1, Operation::Restore, 3));
    assert!(t.append_from(source(7), rows(0..1)).await.unwrap().is_repeated);

    let error = target.import(&at, ImportOptions::default()).await.unwrap_err();
    assert_eq!(error.stable_code(), "table-exists");
    let (second, _) = target.import(&at, named("second")).await.unwrap();
    assert_ne!(second.id(), t.id());
    t.append(rows(5_000..5_001)).await.unwrap();
    let replace = ImportOptions { name: None, replace: true };
    let (replaced, _) = target.import(&at, replace).await.unwrap();
    assert_ne!(replaced.id(), t.id());
    assert_eq!(t.append(rows(0..1)).await.unwrap_err().kind(), ErrorKind::NotFound);
    assert!(tree(&at) == before, "importing changes nothing in a slice");
    require_sound(&target).await;
    target.close().await.unwrap();
    assert_eq!(manifests(folder.path(), &replaced), ["0-3"], "a manifest like that of every table that was made");
    drop(target);
    let target = open(folder.path()).await;
    for of in ["t", "second"] {
        let t = existing(&target, of).await;
        assert_eq!(read(&t).await, sum(0..4_010));
        t.append(rows(4_010..4_020)).await.unwrap();
        t.flush().await.unwrap();
        assert_eq!(read(&t).await, sum(0..4_020));
    }
    assert_eq!(read(&*existing(&target, "other").await).await, sum(0..5));
    require_sound(&target).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_imported_table_is_exported_again_with_all_it_has() {
    let (kept, at) = slice().await;
    let (_folder, target) = database().await;
    let (t, _) = target.import(&at, named("u")).await.unwrap();
    t.append_from(source(8), rows(4_010..4_020)).await.unwrap();
    let again = kept.path().join("again");
    t.export(&again).await.unwrap();
    // Import into the database that it came from, next to the original table.
    let home = open(&kept.path().join("db")).await;
    let (back, _) = home.import(&again, ImportOptions::default()).await.unwrap();
    assert_eq!(back.name(), &name("u"));
    assert_eq!(read(&back).await, sum(0..4_020));
    assert!(back.append_from(source(8), rows(0..1)).await.unwrap().is_repeated);
    assert_eq!(read(&*existing(&home, "t").await).await, sum(0..4_010));
    home.drop_table(&name("u")).await.unwrap();
    assert_eq!(read(&*existing(&home, "t").await).await, sum(0..4_010));
    require_sound(&home).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_table_and_one_that_was_emptied_come_back_empty() {
    let (folder, home) = database().await;
    let never = table(&home, "never").await;
    let emptied = table(&home, "emptied").await;
    emptied.append(rows(0..10)).await.unwrap();
    emptied.truncate().await.unwrap();
    let (_kept, target) = database().await;
    for (t, sequence) in [(&never, 0), (&emptied, 2)] {
        let at = folder.path().join(format!("slice {}", t.name()));
        assert_eq!(t.export(&at).await.unwrap().rows, 0);
        let (back, _) = target.import(&at, ImportOptions::default()).await.unwrap();
        assert_eq!((read(&back).await, back.view().await.unwrap().sequence().number()), ((0, 0), sequence));
        back.append(rows(0..3)).await.unwrap();
        assert_eq!(read(&back).await, sum(0..3));
    }
    require_sound(&target).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deletions_and_tombstones_come_along() {
    let folder = tempfile::tempdir().unwrap();
    let database = open(&folder.path().join("source")).await;
    let t = keyed(&database, by_key(files())).await;
    t.append(pairs((0..10).map(|id| (id, 0)))).await.unwrap();
    // Of two rows with one key, the first one is hidden by position.
    t.append(pairs([(20, 0), (20, 1)])).await.unwrap();
    delete(&t, [1, 2, 3]).await.unwrap();
    t.append(pairs([(2, 2)])).await.unwrap();
    let expected = content(&t).await;
    let at = folder.path().join("slice");
    t.export(&at).await.unwrap();
    let target = open(&folder.path().join("target")).await;
    let (back, _) = target.import(&at, ImportOptions::default()).await.unwrap();
    let view = back.view().await.unwrap();
    let [deletion] = view.snapshot().deletions().collect::<Vec<_>>()[..] else { panic!("no deletion") };
    assert_eq!((deletion.rows, deletion.sequence.number()), (1, 2));
    let [tombstones] = view.snapshot().tombstones().collect::<Vec<_>>()[..] else { panic!("no tombstones") };
    assert_eq!((tombstones.keys, tombstones.sequence.number()), (3, 3));
    assert_eq!(content(&back).await, expected);
    back.upsert(pairs([(5, 5)])).await.unwrap();
    assert_eq!(back.visible_rows(&back.view().await.unwrap()).await.unwrap(), expected.len() as u64);
    assert!(target.check(CheckDepth::Deep).await.unwrap().problems.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_beside_a_writer_is_one_of_the_states_that_there_were() {
    let (folder, writer) = database().await;
    let t = table(&writer, "t").await;
    t.append(rows(0..1)).await.unwrap();
    let appending = tokio::spawn(async move {
        for at in 1..40_i64 {
            // Overwritten files are removed as soon as they are not read.
            if at % 5 == 0 { t.overwrite(rows(0..at)).await } else { t.append(rows(at - 1..at)).await }.unwrap();
            writer.collect(true).await.unwrap();
        }
        (writer, t)
    });
    let reader = Database::builder(folder.path()).access(Access::ReadOnly).settings(settings()).open().await.unwrap();
    let target = open(&folder.path().join("target")).await;
    for round in 0..6 {
        let t = existing(&reader, "t").await;
        let at = folder.path().join(format!("slice-{round}"));
        let contents = t.export(&at).await.unwrap();
        let (back, _) = target.import(&at, named(&format!("t{round}"))).await.unwrap();
        let view = back.view().await.unwrap();
        assert_eq!((view.sequence(), view.snapshot().stored_rows()), (contents.sequence, contents.rows));
        assert_eq!(read(&back).await.0 as u64, contents.rows);
    }
    drop(appending.await.unwrap());
    assert!(target.check(CheckDepth::Deep).await.unwrap().problems.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_export_is_refused_into_a_folder_with_something_in_it_and_of_what_is_damaged() {
    let (folder, home) = database().await;
    let t = table(&home, "t").await;
    t.append(rows(0..10)).await.unwrap();
    let at = folder.path().join("slice");
    t.export(&at).await.unwrap();
    let before = tree(&at);
    assert_eq!(t.export(&at).await.unwrap_err().stable_code(), "folder-not-empty");
    assert!(tree(&at) == before);
    let file = t.view().await.unwrap().files().next().unwrap().id;
    std::fs::write(folder.path().join("data").join(&t.record().location).join(format!("{file}.vortex")), "no").unwrap();
    let at = folder.path().join("of-damage");
    assert_eq!(t.export(&at).await.unwrap_err().stable_code(), "damaged-file");
    assert!(tree(&at).values().all(Option::is_none), "files were left");
    let (_kept, target) = database().await;
    assert_eq!(target.import(&at, named("t")).await.unwrap_err().stable_code(), "no-slice");
}

fn on(fs: &FailingFs, root: &Path) -> cayenne_table::DatabaseBuilder {
    Database::builder(root).settings(settings()).fs(Arc::new(fs.clone()))
}

async fn files_table(database: &Database) -> Arc<Table> {
    let t = database.create_table(&name("t"), &numbers_schema(), files_only()).await.unwrap();
    t.append(rows(0..10)).await.unwrap();
    t.append(rows(10..20)).await.unwrap();
    t
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_exports_into_one_folder_one_is_whole_and_the_other_refused() {
    let (folder, home) = database().await;
    let t = files_table(&home).await;
    let at = folder.path().join("slice");
    for _ in 0..10 {
        let (one, other) = futures::join!(t.export(&at), t.export(&at));
        assert_eq!(usize::from(one.is_ok()) + usize::from(other.is_ok()), 1, "{one:?}, {other:?}");
        assert_eq!(one.err().or(other.err()).unwrap().stable_code(), "folder-not-empty");
        let (_kept, target) = database().await;
        assert_eq!(read(&target.import(&at, named("t")).await.unwrap().0).await, sum(0..20));
        std::fs::remove_dir_all(&at).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_request_the_disk_refuses_an_export_leaves_no_half_of_a_slice() {
    let folder = tempfile::tempdir().unwrap();
    let fs = FailingFs::default();
    let home = on(&fs, &folder.path().join("db")).open().await.unwrap();
    let t = files_table(&home).await;
    drop(t.view().await.unwrap());
    let (_kept, target) = database().await;
    for request in 0.. {
        let at = folder.path().join(format!("slice-{request}"));
        fs.refuse_one(request);
        let exported = t.export(&at).await;
        let refused = fs.heal();
        let imported = target.import(&at, named(&format!("t{request}"))).await;
        match (exported, imported) {
            // After an error the slice may be complete and have its name, but it is not known to survive a power
            // failure.
            (_, Ok((back, _))) => assert_eq!(read(&back).await, sum(0..20), "request {request}"),
            (Err(_), Err(error)) => {
                assert_eq!(error.stable_code(), "no-slice", "request {request}: {error:?}");
                t.export(&at).await.expect("it can be tried again in the same folder");
            }
            (Ok(_), Err(error)) => panic!("request {request}: {error:?}"),
        }
        if !refused {
            assert!(request > 10, "only {request} requests");
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_request_the_disk_refuses_an_import_leaves_no_table_and_no_folder_that_collect_does_not_remove() {
    let (_kept, at) = slice().await;
    for replace in [false, true] {
        for request in 0.. {
            let folder = tempfile::tempdir().unwrap();
            let fs = FailingFs::default();
            let target = on(&fs, folder.path()).open().await.unwrap();
            if replace {
                files_table(&target).await;
            }
            fs.refuse_one(request);
            let imported = target.import(&at, ImportOptions { name: None, replace }).await;
            let refused = fs.heal();
            let found = target.table(&name("t")).await.unwrap();
            match (&imported, found) {
                (Ok(_), Some(t)) => assert_eq!(read(&t).await, sum(0..4_010), "request {request}"),
                (Err(_), None) => assert!(!replace, "request {request} took the old table"),
                (Err(error), Some(t)) => assert_eq!(read(&t).await, sum(0..20), "request {request}: {error:?}"),
                (Ok(_), None) => panic!("request {request}: the table is not there"),
            }
            target.collect(true).await.unwrap();
            let folders = std::fs::read_dir(folder.path().join("data")).unwrap().count();
            assert_eq!(folders, target.tables().await.unwrap().len(), "request {request}: {imported:?}");
            assert!(target.check(CheckDepth::Deep).await.unwrap().problems.is_empty(), "request {request}");
            if !refused {
                assert!(request > 20, "only {request} requests");
                break;
            }
        }
    }
}

/// Pitfall 45: an import that is dropped after its k-th poll, for every k, is done or was never begun.
#[tokio::test(flavor = "multi_thread")]
async fn an_import_dropped_at_any_poll_is_whole_or_nothing_that_collect_does_not_remove() {
    let (_kept, at) = slice().await;
    let (folder, target) = database().await;
    for polls in 0..200 {
        let import: std::pin::Pin<Box<dyn Future<Output = _> + Send>> = Box::pin(target.import(&at, named("t")));
        let finished = polled(import, polls).await;
        // An import that has begun to copy goes on by itself: its lock is held until the table is created, or nothing
        // of it is left.
        loop {
            let entries = std::fs::read_dir(folder.path().join("metadata")).unwrap();
            let locks =
                entries.filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|ends| ends == "lock"));
            if locks.count() == target.tables().await.unwrap().len() {
                break;
            }
            tokio::task::yield_now().await;
        }
        target.collect(true).await.unwrap();
        let tables = target.tables().await.unwrap();
        let folders = std::fs::read_dir(folder.path().join("data")).unwrap().count();
        assert_eq!(folders, tables.len(), "after {polls} polls");
        if tables.len() == 1 {
            assert_eq!(read(&*existing(&target, "t").await).await, sum(0..4_010), "after {polls} polls");
            require_sound(&target).await;
            target.drop_table(&name("t")).await.unwrap();
        }
        if finished.is_some() {
            return;
        }
    }
    panic!("an import is done after 200 polls");
}
