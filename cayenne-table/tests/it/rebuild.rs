//! A metastore that was lost in part or as a whole, and what manifests bring back.

use std::path::Path;
use std::sync::Arc;

use cayenne_format::{ErrorKind, SourcePosition, Step, Timestamp};
use cayenne_table::{
    Access, Backend, CheckDepth, Database, DatabaseBuilder, DatabaseSettings, RecoveredDatabase, RecoveredFrom, SqlView,
};
use cayenne_testkit::FailingStep;

use crate::fixture::{database, existing, name, open, open_with_steps, read, rows, settings, sum, table};
use crate::tree::{as_left_by_a_crash, lost, tree};

pub(crate) fn builder(root: &Path) -> DatabaseBuilder {
    Database::builder(root).settings(settings())
}

pub(crate) async fn recover(root: &Path) -> RecoveredDatabase {
    builder(root).recover_from_manifests(false).await.unwrap()
}

/// Checks that a second recovery finds nothing to do, and changes nothing.
pub(crate) async fn require_recovered(root: &Path) {
    let before = tree(root);
    let again = recover(root).await;
    assert!(!again.was_needed && again.aside.is_none(), "{again:?}");
    let after: Vec<_> = tree(root).into_iter().filter(|(path, _)| !path.to_string_lossy().ends_with(".lock")).collect();
    let before: Vec<_> = before.into_iter().filter(|(path, _)| !path.to_string_lossy().ends_with(".lock")).collect();
    assert!(after == before, "a recovery that was not needed changed something");
}

fn view(text: &str) -> SqlView {
    SqlView {
        name: name(text),
        definition: "AS SELECT * FROM good".into(),
        default_catalog: None,
        default_schema: "public".into(),
        dialect: "generic".into(),
        columns: Arc::new(arrow_schema::Schema::empty()),
        made_at: Timestamp(0),
    }
}

fn metastore(root: &Path) -> std::path::PathBuf {
    root.join("metadata/cayenne.db")
}

pub(crate) fn source(position: u64) -> SourcePosition {
    SourcePosition { stream: "orders".into(), position }
}

/// Flips a bit in the rows of the metastore that tell of the data files of one table.
pub(crate) fn damage_rows_of(root: &Path, files: &[cayenne_format::FileId]) {
    damage_text(root, &files.iter().map(ToString::to_string).collect::<Vec<_>>());
}

/// Flips a bit of texts in the metastore, wherever they are in it.
fn damage_text(root: &Path, texts: &[String]) {
    let mut bytes = std::fs::read(metastore(root)).unwrap();
    for text in texts {
        let found: Vec<_> = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(text.as_bytes())).collect();
        assert!(!found.is_empty(), "{text} is in the metastore");
        for at in found {
            bytes[at] ^= 1;
        }
    }
    std::fs::write(metastore(root), bytes).unwrap();
}

pub(crate) async fn files_of(table: &cayenne_table::Table) -> Vec<cayenne_format::FileId> {
    table.view().await.unwrap().files().map(|file| file.id).collect()
}

/// Appends to a table, and stages something, in a process whose manifest cannot be written.
pub(crate) async fn change_good_without_a_manifest(root: &Path) {
    let failing = Arc::new(FailingStep::default());
    let database = open_with_steps(root, Arc::clone(&failing) as _).await;
    let good = existing(&database, "good").await;
    good.append_from(source(2), rows(10..20)).await.unwrap();
    drop(good.stage(rows(20..30), Some(source(3))).await.unwrap());
    failing.arm(Step::WriteManifest);
    database.close().await.unwrap();
    assert!(failing.disarm());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_folder_opens_and_one_with_tables_but_no_metastore_is_refused_and_stays_as_it_is() {
    let (folder, first) = database().await;
    table(&first, "t").await.append(rows(0..10)).await.unwrap();
    first.close().await.unwrap();
    drop(first);
    let destroy: [fn(&Path); 3] = [
        |root| std::fs::remove_file(metastore(root)).unwrap(),
        |root| std::fs::write(metastore(root), b"").unwrap(),
        |root| std::fs::remove_dir_all(root.join("metadata")).unwrap(),
    ];
    for destroy in destroy {
        destroy(folder.path());
        let before = tree(folder.path());
        let error = builder(folder.path()).open().await.map(drop).unwrap_err();
        assert_eq!((error.kind(), error.stable_code()), (ErrorKind::Corrupt, "metastore-missing"), "{error}");
        assert!(error.way_to_mend().unwrap().contains("recover"), "{error:?}");
        assert!(tree(folder.path()) == before, "a refused open changed something");
        assert!(builder(folder.path()).access(Access::ReadOnly).open().await.is_err());
        assert!(tree(folder.path()) == before, "a refused open changed something");
    }
    recover(folder.path()).await;
    assert_eq!(read(&*existing(&*open(folder.path()).await, "t").await).await, sum(0..10));
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_nothing_to_recover_where_there_is_no_database() {
    let folder = tempfile::tempdir().unwrap();
    let error = builder(folder.path()).recover_from_manifests(false).await.unwrap_err();
    assert_eq!((error.kind(), error.stable_code()), (ErrorKind::NotFound, "no-database"));
    assert!(tree(folder.path()).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_says_what_a_recovery_does_and_changes_nothing() {
    let destroy: [fn(&Path); 4] = [
        |_| {},
        |root| std::fs::remove_dir_all(root.join("metadata")).unwrap(),
        |root| std::fs::write(metastore(root), vec![0; 10_000]).unwrap(),
        |root| std::fs::remove_file(metastore(root)).unwrap(),
    ];
    for (number, destroy) in destroy.into_iter().enumerate() {
        for closes in [true, false] {
            let (folder, first) = database().await;
            table(&first, "t").await.append(rows(0..10)).await.unwrap();
            first.close().await.unwrap();
            let second = open(folder.path()).await;
            existing(&second, "t").await.append(rows(10..20)).await.unwrap();
            if closes {
                second.close().await.unwrap();
            }
            let folder = as_left_by_a_crash(folder.path());
            destroy(folder.path());
            let before = tree(folder.path());
            let said = builder(folder.path()).recover_from_manifests(true).await.unwrap();
            assert!(tree(folder.path()) == before, "ruin {number}: a dry run changed something");
            let done = recover(folder.path()).await;
            assert_eq!(said.was_needed, number > 0);
            assert_eq!(said.was_needed, done.was_needed);
            let facts = |recovered: &RecoveredDatabase| {
                let of = |table: &cayenne_table::RecoveredTable| {
                    (table.name.clone(), table.from, table.sequence, table.rows)
                };
                recovered.tables.iter().map(of).collect::<Vec<_>>()
            };
            assert_eq!(facts(&said), facts(&done));
            let expected = if closes || number == 0 { 20 } else { 10 };
            assert_eq!(said.tables[0].rows, expected, "ruin {number}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recovery_waits_for_no_writer_and_takes_nothing_from_one() {
    let (folder, first) = database().await;
    let t = table(&first, "t").await;
    t.append(rows(0..10)).await.unwrap();
    let before = tree(folder.path());
    let error = builder(folder.path()).recover_from_manifests(false).await.unwrap_err();
    assert_eq!((error.kind(), error.stable_code()), (ErrorKind::Unavailable, "table-locked"));
    assert!(tree(folder.path()) == before);
    t.append(rows(10..20)).await.unwrap();
    assert_eq!(read(&t).await, sum(0..20));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_damaged_table_comes_from_its_manifest_and_the_others_are_as_they_were_last() {
    let (folder, first) = database().await;
    let (bad, good) = (table(&first, "bad").await, table(&first, "good").await);
    bad.append(rows(0..10)).await.unwrap();
    good.append_from(source(1), rows(0..10)).await.unwrap();
    let files = files_of(&bad).await;
    first.create_view(view("v"), false).await.unwrap();
    let views = first.views().await.unwrap();
    first.close().await.unwrap();
    drop((good, bad, first));
    change_good_without_a_manifest(folder.path()).await;
    damage_rows_of(folder.path(), &files);

    let before = tree(folder.path());
    let recovered = recover(folder.path()).await;
    let from: Vec<_> = recovered.tables.iter().map(|table| (table.from, table.rows)).collect();
    assert_eq!(from, [(RecoveredFrom::Manifest, 10), (RecoveredFrom::Metastore, 20)]);
    assert_eq!(recovered.views, [name("v")], "views are taken over");
    assert!(recovered.was_needed && recovered.aside.as_ref().unwrap().join("metadata/cayenne.db").exists());
    assert_eq!(lost(&before, folder.path()), [] as [std::path::PathBuf; 0]);
    let database = open(folder.path()).await;
    assert_eq!(database.views().await.unwrap(), views);
    assert_eq!(read(&*existing(&database, "bad").await).await, sum(0..10));
    let good = existing(&database, "good").await;
    assert_eq!(read(&good).await, sum(0..20));
    assert!(good.append_from(source(3), rows(20..30)).await.unwrap().is_repeated, "it was staged");
    assert_eq!(read(&good).await, sum(0..30));
    assert_eq!(good.recovery().adopted.len(), 1);
    assert!(database.check(CheckDepth::Deep).await.unwrap().problems.is_empty());
    assert!(database.collect(false).await.unwrap().files.is_empty());
    database.close().await.unwrap();
    require_recovered(folder.path()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_whose_own_row_is_damaged_takes_no_other_one_back() {
    let (folder, first) = database().await;
    let (bad, good) = (table(&first, "bad").await, table(&first, "good").await);
    bad.append(rows(0..10)).await.unwrap();
    good.append_from(source(1), rows(0..10)).await.unwrap();
    let location = bad.record().location.clone();
    first.close().await.unwrap();
    drop((good, bad, first));
    change_good_without_a_manifest(folder.path()).await;
    damage_text(folder.path(), &[location]);
    let recovered = recover(folder.path()).await;
    let from: Vec<_> = recovered.tables.iter().map(|table| (table.from, table.rows)).collect();
    assert_eq!(from, [(RecoveredFrom::Manifest, 10), (RecoveredFrom::Metastore, 20)]);
    let database = open(folder.path()).await;
    assert_eq!(read(&*existing(&database, "bad").await).await, sum(0..10));
    let good = existing(&database, "good").await;
    assert!(good.append_from(source(3), rows(20..30)).await.unwrap().is_repeated, "it was staged");
    assert_eq!(read(&good).await, sum(0..30));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_no_manifest_tells_of_is_kept_for_whoever_can_save_it() {
    let (folder, first) = database().await;
    let (bare, told) = (table(&first, "bare").await, table(&first, "told").await);
    bare.append(rows(0..10)).await.unwrap();
    told.append(rows(0..10)).await.unwrap();
    let of = folder.path().join("data").join(&bare.record().location);
    first.close().await.unwrap();
    drop((bare, told, first));
    std::fs::remove_dir_all(of.join("_manifest")).unwrap();
    std::fs::remove_file(metastore(folder.path())).unwrap();
    let recovered = recover(folder.path()).await;
    assert_eq!(recovered.tables.iter().filter(|table| table.from == RecoveredFrom::Nothing).count(), 1);
    let database = open(folder.path()).await;
    let collected = database.collect(true).await.unwrap();
    assert_eq!((collected.folders.len(), collected.lost.len()), (0, 1));
    assert_eq!(std::fs::read_dir(&of).unwrap().count(), 3, "its file, its marker and the mark");
    assert_eq!(read(&*existing(&database, "told").await).await, sum(0..10));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_manifest_is_reported_and_the_one_before_it_is_used() {
    let (folder, first) = database().await;
    let t = table(&first, "t").await;
    t.append(rows(0..10)).await.unwrap();
    first.close().await.unwrap();
    let second = open(folder.path()).await;
    existing(&second, "t").await.append(rows(10..20)).await.unwrap();
    second.close().await.unwrap();
    let at = folder.path().join("data").join(&t.record().location).join("_manifest/1-2.manifest");
    let mut bytes = std::fs::read(&at).unwrap();
    bytes[40] ^= 1;
    std::fs::write(&at, bytes).unwrap();
    drop((first, second, t));
    std::fs::remove_file(metastore(folder.path())).unwrap();
    let recovered = recover(folder.path()).await;
    let [t] = recovered.tables.as_slice() else { panic!("{recovered:?}") };
    assert_eq!((t.from, t.sequence.number(), t.rows), (RecoveredFrom::Manifest, 1, 10));
    assert_eq!(t.problems.iter().map(cayenne_format::Error::stable_code).collect::<Vec<_>>(), ["damaged-manifest"]);
    // The history of the table now differs from that of the manifest that cannot be read.
    let database = open(folder.path()).await;
    let t = existing(&database, "t").await;
    t.append(rows(50..60)).await.unwrap();
    database.close().await.unwrap();
    drop((database, t));
    std::fs::remove_file(metastore(folder.path())).unwrap();
    recover(folder.path()).await;
    let database = open(folder.path()).await;
    assert_eq!(read(&*existing(&database, "t").await).await, (20, sum(0..10).1 + sum(50..60).1));
    assert!(database.check(CheckDepth::Deep).await.unwrap().problems.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_of_another_table_is_reported_and_not_used() {
    let (folder, first) = database().await;
    let (t, other) = (table(&first, "t").await, table(&first, "other").await);
    t.append(rows(0..10)).await.unwrap();
    for _ in 0..3 {
        other.append(rows(0..1)).await.unwrap();
    }
    first.close().await.unwrap();
    let of = |table: &cayenne_table::Table| folder.path().join("data").join(&table.record().location).join("_manifest");
    std::fs::copy(of(&other).join("0-3.manifest"), of(&t).join("0-3.manifest")).unwrap();
    drop((first, t, other));
    let database = open(folder.path()).await;
    let report = database.check(CheckDepth::Quick).await.unwrap();
    let codes: Vec<_> = report.problems.iter().map(|problem| problem.error.stable_code()).collect();
    assert_eq!(codes, ["damaged-manifest"]);
    drop(database);
    std::fs::remove_file(metastore(folder.path())).unwrap();
    let recovered = recover(folder.path()).await;
    let t = recovered.tables.iter().find(|table| table.name == Some(name("t"))).expect("its own manifest tells of it");
    assert_eq!((t.rows, t.problems.len()), (10, 1));
    assert_eq!(read(&*existing(&*open(folder.path()).await, "t").await).await, sum(0..10));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_folders_that_claim_one_name_the_later_one_has_it_and_the_other_stays() {
    let (folder, first) = database().await;
    let old = table(&first, "t").await;
    old.append(rows(0..10)).await.unwrap();
    first.close().await.unwrap();
    drop(first);
    // A new database is created in the same folder, and the folder of the old table is put back afterwards.
    let old_folder = folder.path().join("data").join(&old.record().location);
    let kept = folder.path().join("kept");
    std::fs::rename(&old_folder, &kept).unwrap();
    std::fs::remove_dir_all(folder.path().join("metadata")).unwrap();
    let second = open(folder.path()).await;
    table(&second, "t").await.append(rows(20..30)).await.unwrap();
    second.close().await.unwrap();
    drop((second, old));
    std::fs::rename(&kept, &old_folder).unwrap();
    for is_lost in [false, true] {
        if is_lost {
            std::fs::remove_file(metastore(folder.path())).unwrap();
        }
        let before = tree(folder.path());
        let recovered = recover(folder.path()).await;
        assert_eq!(recovered.was_needed, is_lost);
        let refused: Vec<_> = recovered.tables.iter().filter(|table| table.from == RecoveredFrom::Nothing).collect();
        assert_eq!(refused.len(), 1);
        assert!(refused[0].problems.iter().any(|error| error.stable_code() == "table-exists"), "{refused:?}");
        assert!(lost(&before, folder.path()).is_empty());
        assert_eq!(read(&*existing(&*open(folder.path()).await, "t").await).await, sum(20..30));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn missing_data_files_are_reported_and_the_table_comes_back_without_hiding_it() {
    let (folder, first) = database().await;
    let t = table(&first, "t").await;
    t.append(rows(0..10)).await.unwrap();
    t.append(rows(10..20)).await.unwrap();
    let gone = files_of(&t).await[0];
    first.close().await.unwrap();
    std::fs::remove_file(folder.path().join("data").join(&t.record().location).join(format!("{gone}.vortex"))).unwrap();
    drop((first, t));
    std::fs::remove_file(metastore(folder.path())).unwrap();
    let recovered = recover(folder.path()).await;
    let codes: Vec<_> = recovered.tables[0].problems.iter().map(cayenne_format::Error::stable_code).collect();
    assert_eq!(codes, ["missing-data-file"]);
    let report = open(folder.path()).await.check(CheckDepth::Quick).await.unwrap();
    assert_eq!(report.problems.len(), 1);
}

// pitfall 63
#[tokio::test(flavor = "multi_thread")]
async fn an_old_metastore_put_back_is_brought_to_what_the_manifests_tell() {
    let (folder, first) = database().await;
    let t = table(&first, "t").await;
    t.append_from(source(1), rows(0..10)).await.unwrap();
    first.close().await.unwrap();
    let old = std::fs::read(metastore(folder.path())).unwrap();
    let second = open(folder.path()).await;
    existing(&second, "t").await.append_from(source(2), rows(10..20)).await.unwrap();
    table(&second, "new").await.append(rows(0..5)).await.unwrap();
    second.close().await.unwrap();
    drop((first, second, t));
    std::fs::write(metastore(folder.path()), old).unwrap();
    let recovered = recover(folder.path()).await;
    assert!(recovered.was_needed && recovered.aside.is_none(), "{recovered:?}");
    let database = open(folder.path()).await;
    assert!(database.check(CheckDepth::Deep).await.unwrap().problems.is_empty());
    let t = existing(&database, "t").await;
    assert_eq!(read(&t).await, sum(0..20));
    assert!(t.append_from(source(2), rows(10..20)).await.unwrap().is_repeated);
    t.append_from(source(3), rows(20..30)).await.unwrap();
    assert_eq!(read(&t).await, sum(0..30));
    assert_eq!(read(&*existing(&database, "new").await).await, sum(0..5));
    database.close().await.unwrap();
    require_recovered(folder.path()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_has_the_old_metastore_open_writes_nothing_more() {
    let (folder, first) = database().await;
    table(&first, "t").await.append(rows(0..10)).await.unwrap();
    first.close().await.unwrap();
    let second = open(folder.path()).await;
    let t = existing(&second, "t").await;
    assert_eq!(read(&t).await, sum(0..10));
    std::fs::remove_file(metastore(folder.path())).unwrap();
    assert!(recover(folder.path()).await.was_needed);
    let error = t.append(rows(10..20)).await.unwrap_err();
    assert_eq!(error.stable_code(), "metastore-replaced", "{error:?}");
    second.close().await.unwrap();
    drop((first, second));
    let third = open(folder.path()).await;
    assert_eq!(read(&*existing(&third, "t").await).await, sum(0..10));
    assert!(third.check(CheckDepth::Deep).await.unwrap().problems.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_on_turso_comes_back_from_its_manifests() {
    let settings = DatabaseSettings { backend: Backend::Turso, ..settings() };
    let builder = |root: &Path| Database::builder(root).settings(settings.clone());
    let folder = tempfile::tempdir().unwrap();
    let first = builder(folder.path()).open().await.unwrap();
    let t = table(&first, "t").await;
    t.append_from(source(1), rows(0..10)).await.unwrap();
    first.close().await.unwrap();
    drop((first, t));
    for garbage in [false, true] {
        let file = folder.path().join("metadata/cayenne-turso.db");
        if garbage {
            std::fs::write(&file, vec![7; 9_000]).unwrap();
        } else {
            std::fs::remove_file(&file).unwrap();
        }
        assert!(builder(folder.path()).open().await.is_err());
        let recovered = builder(folder.path()).recover_from_manifests(false).await.unwrap();
        assert!(recovered.was_needed && recovered.tables[0].from == RecoveredFrom::Manifest);
        let database = builder(folder.path()).open().await.unwrap();
        let t = existing(&database, "t").await;
        assert_eq!(read(&t).await, sum(0..10));
        assert!(t.append_from(source(1), rows(0..10)).await.unwrap().is_repeated);
        assert!(database.check(CheckDepth::Deep).await.unwrap().problems.is_empty());
        database.close().await.unwrap();
        drop((database, t));
        assert!(!builder(folder.path()).recover_from_manifests(false).await.unwrap().was_needed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recovery_with_the_other_metastore_than_the_one_that_is_there_is_refused() {
    let (folder, first) = database().await;
    table(&first, "t").await;
    first.close().await.unwrap();
    let before = tree(folder.path());
    let settings = DatabaseSettings { backend: Backend::Turso, ..settings() };
    let error = Database::builder(folder.path()).settings(settings).recover_from_manifests(false).await.unwrap_err();
    assert_eq!(error.stable_code(), "other-metastore");
    assert!(tree(folder.path()) == before);
}
