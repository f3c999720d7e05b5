//! Damaged or forged slices: they are refused, and nothing is changed.

use std::path::Path;
use std::sync::Arc;

use cayenne_format::{ErrorKind, NoSteps, Step, TableId, TableName};
use cayenne_metastore::{CommitLog, Metastore, SqliteMetastore, SqliteSettings, Writer};
use cayenne_table::{CheckDepth, Database, ImportOptions};
use cayenne_testkit::StoppingStep;

use crate::fixture::{database, existing, name, open, open_with_steps, read, rows, sum, table};
use crate::forgeries::{FORGERIES, data_files, garbage, path_of, read_slice, write_slice};
use crate::slice::{named, slice};
use crate::tree::tree;

/// A database that has to refuse a slice.
struct Target {
    folder: tempfile::TempDir,
    database: Arc<Database>,
}

impl Target {
    async fn new() -> Self {
        let (folder, database) = database().await;
        table(&database, "other").await.append(rows(0..5)).await.unwrap();
        Self { folder, database }
    }

    async fn refuses(&self, at: &Path, what: &str) -> cayenne_format::Error {
        let names = || tree(&self.folder.path().join("metadata")).into_keys().collect::<Vec<_>>();
        let (data, metadata) = (tree(&self.folder.path().join("data")), names());
        let imported = self.database.import(at, named("t")).await;
        let error = imported.map(drop).expect_err(what);
        assert!(tree(&self.folder.path().join("data")) == data, "{what}: {error:?}");
        assert_eq!(names(), metadata, "{what}: {error:?}");
        let tables = self.database.tables().await.unwrap();
        assert_eq!(tables.iter().map(|record| record.name.as_str()).collect::<Vec<_>>(), ["other"], "{what}");
        let refused = [ErrorKind::Corrupt, ErrorKind::Unsupported, ErrorKind::NotFound, ErrorKind::Invalid];
        assert!(refused.contains(&error.kind()), "{what}: {error:?}");
        assert!(error.to_string().contains(&at.display().to_string()), "{what} does not name the slice: {error}");
        error
    }
}

/// What is done to a file, and its name.
type Damage = (&'static str, fn(&Path));

fn copy_of(at: &Path) -> tempfile::TempDir {
    crate::tree::as_left_by_a_crash(at)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slice_with_any_file_missing_cut_changed_linked_or_exchanged_is_refused() {
    let (kept, at) = slice().await;
    let target = Target::new().await;
    let damages: [Damage; 6] = [
        ("missing", |file| std::fs::remove_file(file).unwrap()),
        ("cut", |file| std::fs::write(file, &std::fs::read(file).unwrap()[..700]).unwrap()),
        ("longer", |file| std::fs::write(file, [std::fs::read(file).unwrap(), vec![0; 4096]].concat()).unwrap()),
        ("empty", |file| std::fs::write(file, b"").unwrap()),
        ("a link", |file| {
            std::fs::rename(file, file.with_extension("real")).unwrap();
            std::os::unix::fs::symlink(file.with_extension("real"), file).unwrap();
        }),
        ("a folder", |file| {
            std::fs::remove_file(file).unwrap();
            std::fs::create_dir(file).unwrap();
        }),
    ];
    for (what, damage) in damages {
        for number in 0..3 {
            let copy = copy_of(&at);
            let files = data_files(copy.path());
            let file = files.get(number).cloned().unwrap_or(copy.path().join("metadata.db"));
            // SQLite stores the number of its pages, so it ignores additional bytes.
            if what == "longer" && number == 2 {
                continue;
            }
            damage(&file);
            target.refuses(copy.path(), &format!("{} is {what}", file.display())).await;
        }
    }
    let copy = copy_of(&at);
    let files = data_files(copy.path());
    std::fs::rename(&files[0], copy.path().join("x")).unwrap();
    std::fs::rename(&files[1], &files[0]).unwrap();
    std::fs::rename(copy.path().join("x"), &files[1]).unwrap();
    target.refuses(copy.path(), "exchanged data files").await;
    drop(kept);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slice_with_a_bit_flipped_is_refused_or_the_same_table() {
    let (_kept, at) = slice().await;
    let copy = copy_of(&at);
    let target = Target::new().await;
    let mut files = data_files(copy.path());
    files.push(copy.path().join("metadata.db"));
    let mut refused = 0;
    for file in &files {
        let whole = std::fs::read(file).unwrap();
        for round in 0..24 {
            let mut flipped = whole.clone();
            flipped[whole.len() * round / 24] ^= 1 << (round % 8);
            std::fs::write(file, &flipped).unwrap();
            match target.database.import(copy.path(), named("t")).await {
                Err(_) => refused += 1,
                Ok((t, _)) => {
                    assert!(file.ends_with("metadata.db"), "a changed data file was taken");
                    assert_eq!(read(&t).await, sum(0..4_010));
                    target.database.drop_table(&name("t")).await.unwrap();
                }
            }
        }
        std::fs::write(file, &whole).unwrap();
    }
    assert!(refused >= 48, "{refused} were refused");
    let collected = target.database.collect(true).await.unwrap();
    assert!(collected.folders.is_empty() && collected.files.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_slice_is_refused() {
    let (kept, at) = slice().await;
    let target = Target::new().await;
    for nothing in ["nowhere", "db", "slice/metadata.db"] {
        let error = target.refuses(&kept.path().join(nothing), nothing).await;
        assert_eq!(error.stable_code(), "no-slice", "{nothing}");
    }
    let copy = copy_of(&at);
    std::fs::copy(kept.path().join("db/metadata/cayenne.db"), copy.path().join("metadata.db")).unwrap();
    target.refuses(copy.path(), "the metastore of a database").await;

    let copy = copy_of(&at);
    let mut bytes = std::fs::read(copy.path().join("metadata.db")).unwrap();
    bytes[68..72].copy_from_slice(b"GPKG");
    std::fs::write(copy.path().join("metadata.db"), bytes).unwrap();
    let error = target.refuses(copy.path(), "a database of another application").await;
    assert_eq!(error.stable_code(), "foreign-metastore");

    for beside in ["metadata.db-wal", "metadata.db-journal"] {
        let copy = copy_of(&at);
        std::fs::write(copy.path().join(beside), garbage()).unwrap();
        target.refuses(copy.path(), beside).await;
    }
    let copy = copy_of(&at);
    std::fs::rename(copy.path().join("files"), copy.path().join("elsewhere")).unwrap();
    std::os::unix::fs::symlink(copy.path().join("elsewhere"), copy.path().join("files")).unwrap();
    target.refuses(copy.path(), "a link in place of the folder of the data files").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slice_that_tells_anything_but_its_own_files_is_refused() {
    let (_kept, at) = slice().await;
    let target = Target::new().await;
    for (what, forge) in FORGERIES {
        let copy = copy_of(&at);
        let mut forged = read_slice(copy.path()).await;
        // The forgery is in the first data file, so inline ones are sorted last.
        forged.state.files.sort_by_key(|new| new.file.is_inline());
        forge(copy.path(), &mut forged);
        write_slice(copy.path(), forged).await.close().await.unwrap();
        target.refuses(copy.path(), what).await;
    }
    let copy = copy_of(&at);
    let forged = read_slice(copy.path()).await;
    write_slice(copy.path(), forged).await.close().await.unwrap();
    let (t, _) = target.database.import(copy.path(), named("t")).await.expect("what was not forged is taken");
    assert_eq!(read(&t).await, sum(0..4_010));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slice_with_two_tables_or_none_or_staged_commits_is_refused() {
    let (_kept, at) = slice().await;
    let target = Target::new().await;
    let copy = copy_of(&at);
    let forged = read_slice(copy.path()).await;
    let mut other = forged.new.clone();
    (other.id, other.name) = (TableId::from_bytes([3; 16]), TableName::try_from("second").unwrap());
    let metastore = write_slice(copy.path(), forged).await;
    metastore.create_table(&other).await.unwrap();
    metastore.close().await.unwrap();
    target.refuses(copy.path(), "two tables").await;

    let copy = copy_of(&at);
    std::fs::remove_file(copy.path().join("metadata.db")).unwrap();
    let file = copy.path().join("metadata.db");
    let empty = SqliteMetastore::open(&file, SqliteSettings::default(), Arc::new(NoSteps)).await.unwrap();
    empty.close().await.unwrap();
    target.refuses(copy.path(), "no table").await;

    let copy = copy_of(&at);
    let forged = read_slice(copy.path()).await;
    let (id, made_at) = (forged.new.id, forged.new.made_at);
    let metastore = write_slice(copy.path(), forged).await;
    let epoch = metastore.begin_writer(id, &Writer { host: "h".into(), process: 1, since: made_at }).await.unwrap();
    let staged = cayenne_format::TableCommit {
        id: cayenne_format::CommitId::from_bytes([9; 16]),
        table: id,
        epoch,
        operation: cayenne_format::Operation::Append,
        made_at,
        requires: Vec::new(),
        changes: Vec::new(),
        source: Some(cayenne_format::SourcePosition { stream: "s".into(), position: 1 }),
        expiry: None,
    };
    metastore.stage(&staged).await.unwrap();
    metastore.close().await.unwrap();
    target.refuses(copy.path(), "a staged commit").await;
}

/// Caches are keyed by file id: if ids of a slice were reused, a forger who knows the id of a file could have a forged
/// file read in its place.
#[tokio::test(flavor = "multi_thread")]
async fn a_slice_whose_file_has_the_id_of_a_file_of_another_table_is_not_read_in_its_place() {
    let (folder, home) = database().await;
    let victim = table(&home, "victim").await;
    victim.append(rows(1_000..1_100)).await.unwrap();
    let id = victim.view().await.unwrap().files().next().unwrap().id;
    let (_other, elsewhere) = database().await;
    let t = table(&elsewhere, "t").await;
    t.append(rows(2_000..2_100)).await.unwrap();
    let at = folder.path().join("slice");
    t.export(&at).await.unwrap();
    let mut forged = read_slice(&at).await;
    forged.state.files[0].file.id = id;
    let file = format!("{id}.vortex");
    std::fs::rename(&data_files(&at)[0], at.join("files").join(&file)).unwrap();
    *path_of(&mut forged.state, 0) = file;
    write_slice(&at, forged).await.close().await.unwrap();
    for round in 0..3 {
        if round > 0 {
            for _ in 0..3 {
                assert_eq!(read(&victim).await, sum(1_000..1_100));
            }
        }
        let (evil, _) = home.import(&at, named("evil")).await.unwrap();
        for _ in 0..3 {
            assert_eq!(read(&victim).await, sum(1_000..1_100), "round {round}");
            assert_eq!(read(&evil).await, sum(2_000..2_100), "round {round}");
        }
        drop(evil);
        home.drop_table(&name("evil")).await.unwrap();
    }
    assert!(home.check(CheckDepth::Deep).await.unwrap().problems.is_empty());
}

/// A folder that is still being filled is not an orphan, even if the caller of the import has stopped waiting.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn an_import_whose_caller_has_gone_is_not_collected_while_it_copies() {
    let (_kept, at) = slice().await;
    let folder = tempfile::tempdir().unwrap();
    let step = Arc::new(StoppingStep::at(Step::SyncDataFile));
    let target = open_with_steps(folder.path(), Arc::clone(&step) as _).await;
    let importing = tokio::spawn({
        let target = Arc::clone(&target);
        async move { target.import(&at, ImportOptions::default()).await.map(drop) }
    });
    let reached = Arc::clone(&step);
    tokio::task::spawn_blocking(move || reached.wait_until_reached()).await.unwrap();
    importing.abort();
    assert!(importing.await.is_err());
    let other = open(folder.path()).await;
    let busy = other.collect(true).await.unwrap().busy.len();
    // Nothing waits for ever if this fails.
    step.open();
    assert_eq!(busy, 1);
    while !target.collect(true).await.unwrap().busy.is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(std::fs::read_dir(folder.path().join("data")).unwrap().count(), target.tables().await.unwrap().len());
    if target.table(&name("t")).await.unwrap().is_some() {
        assert_eq!(read(&*existing(&target, "t").await).await, sum(0..4_010));
    }
}
