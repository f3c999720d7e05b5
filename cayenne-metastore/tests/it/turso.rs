//! The Turso backend: what it shares with SQLite, and where it differs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cayenne_format::{Change, ErrorKind, NoSteps, Result, Sequence, Step, Steps};
use cayenne_metastore::conformance::Samples;
use cayenne_metastore::{Metastore, SqliteMetastore, SqliteSettings, TursoMetastore};
use futures::future::join_all;
use rusqlite::Connection;

use crate::fixture::{self, Contents, Gate, append, contents, fill, settings, table};

/// The environment variable that names the file for the other process to open.
const OTHER_PROCESS: &str = "CAYENNE_TEST_OPENS";

pub(crate) async fn open(path: impl AsRef<Path>) -> TursoMetastore {
    try_open(path).await.unwrap()
}

async fn try_open(path: impl AsRef<Path>) -> Result<TursoMetastore> {
    TursoMetastore::open(path, settings(), Arc::new(NoSteps)).await
}

async fn open_read_only(path: impl AsRef<Path>) -> Result<TursoMetastore> {
    TursoMetastore::open_read_only(path, settings()).await
}

pub(crate) async fn open_with(path: impl AsRef<Path>, steps: Arc<dyn Steps>) -> TursoMetastore {
    TursoMetastore::open(path, settings(), steps).await.unwrap()
}

/// Creates a closed metastore with some contents, and returns its path and the contents.
async fn sound(folder: &Path) -> (PathBuf, Contents) {
    let path = folder.join("a.db");
    let metastore = open(&path).await;
    fill(&metastore, &Samples::new(1)).await;
    let truth = contents(&metastore).await.unwrap();
    metastore.close().await.unwrap();
    (path, truth)
}

#[tokio::test]
async fn closed_file_is_a_sound_file_of_sqlite() {
    let folder = tempfile::tempdir().unwrap();
    let (path, truth) = sound(folder.path()).await;
    let connection = Connection::open(&path).unwrap();
    let text = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, String>(0)).unwrap();
    assert_eq!(text("integrity_check"), "ok");
    assert_eq!(text("journal_mode"), "wal");
    connection.execute_batch("PRAGMA foreign_key_check").unwrap();
    drop(connection);
    let copy = folder.path().join("copy.db");
    fs::copy(&path, &copy).unwrap();
    assert_eq!(contents(&fixture::open_read_only(&copy).await.unwrap()).await.unwrap(), truth);
    let metastore = fixture::open(&copy).await;
    assert_eq!(contents(&metastore).await.unwrap(), truth);
    metastore.create_table(&Samples::new(9).table("made by SQLite")).await.unwrap();
}

#[tokio::test]
async fn file_of_sqlite_is_read_and_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let first = fixture::open(&path).await;
    fill(&first, &Samples::new(1)).await;
    let truth = contents(&first).await.unwrap();
    first.close().await.unwrap();
    let metastore = open(&path).await;
    assert_eq!(contents(&metastore).await.unwrap(), truth);
    let samples = Samples::new(2);
    let of = table(&metastore, &samples, "made by Turso").await;
    metastore.commit(&[append(&samples, of)]).await.unwrap();
    let truth = contents(&metastore).await.unwrap();
    metastore.close().await.unwrap();
    assert_eq!(contents(&fixture::open(&path).await).await.unwrap(), truth);
}

/// Does nothing by itself: [`other_process_is_refused`] runs it in another process.
#[tokio::test]
async fn other_process() {
    let Some(path) = std::env::var_os(OTHER_PROCESS) else { return };
    for opened in [try_open(&path).await, open_read_only(&path).await] {
        let error = opened.map(|_| ()).expect_err("another process has it open");
        assert_eq!((error.kind(), error.stable_code()), (ErrorKind::Unavailable, "metastore-busy"), "{error:?}");
        let help = error.way_to_mend().unwrap_or_default();
        assert!(help.contains("only one process"), "{help}");
    }
    let impatient = SqliteSettings { busy_timeout: Duration::from_millis(100), ..settings() };
    let opened = SqliteMetastore::open(&path, impatient, Arc::new(NoSteps)).await;
    let error = opened.expect_err("Turso has it open");
    assert_eq!(error.stable_code(), "metastore-busy", "{error:?}");
}

#[tokio::test]
async fn other_process_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let metastore = open(&path).await;
    fill(&metastore, &Samples::new(1)).await;
    let truth = contents(&metastore).await.unwrap();
    let other = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "turso::other_process"])
        .env(OTHER_PROCESS, &path)
        .output()
        .unwrap();
    assert!(other.status.success(), "{}", String::from_utf8_lossy(&other.stdout));
    assert_eq!(contents(&metastore).await.unwrap(), truth);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_metastores_of_one_process_take_turns() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let both = [Arc::new(open(&path).await), Arc::new(open(&path).await)];
    let samples = Samples::new(1);
    let of = [table(both[0].as_ref(), &samples, "a").await, table(both[1].as_ref(), &samples, "b").await];
    let mut tasks = Vec::new();
    for _ in 0..100 {
        for (metastore, of) in both.iter().zip(of) {
            let (metastore, commit) = (Arc::clone(metastore), append(&samples, of));
            tasks.push(tokio::spawn(async move { metastore.commit(&[commit]).await }));
        }
    }
    for done in join_all(tasks).await {
        done.unwrap().unwrap();
    }
    for metastore in &both {
        for table in metastore.list_tables().await.unwrap() {
            assert_eq!(metastore.load_snapshot(table.id, None).await.unwrap().files().len(), 100);
        }
    }
    both[0].close().await.unwrap();
    both[1].commit(&[append(&samples, of[1])]).await.expect("the other one stays open");
    both[1].close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_commits_share_one_transaction() {
    let folder = tempfile::tempdir().unwrap();
    let gate = Gate::open_at(Step::BeginCommit);
    let metastore = Arc::new(open_with(folder.path().join("a.db"), gate.clone()).await);
    let samples = Samples::new(1);
    let of = table(metastore.as_ref(), &samples, "t").await;
    let before = metastore.transactions();
    gate.shut();
    let tasks: Vec<_> = (0..100)
        .map(|number| {
            let (metastore, mut commit) = (Arc::clone(&metastore), append(&samples, of));
            if number % 5 == 4 {
                // This commit is refused after it has made a change.
                commit.changes.push(Change::RemoveFile(samples.file_id()));
            }
            tokio::spawn(async move { metastore.commit(&[commit]).await })
        })
        .collect();
    gate.wait_for_writer();
    // The others arrive while the first waits at the gate, so that no caller is late.
    tokio::time::sleep(Duration::from_millis(100)).await;
    gate.open();
    let ended: Vec<_> = join_all(tasks).await.into_iter().map(|done| done.unwrap()).collect();
    let mut sequences: Vec<_> = ended.iter().flatten().map(|sequences| sequences[0].number()).collect();
    sequences.sort_unstable();
    assert_eq!(sequences, (1..=80).collect::<Vec<_>>());
    assert!(ended.iter().filter_map(|ended| ended.as_ref().err()).all(|error| error.kind() == ErrorKind::Invalid));
    let took = metastore.transactions() - before;
    assert!(took < 10, "100 commits took {took} transactions");
    assert_eq!(metastore.load_snapshot(of.0, None).await.unwrap().files().len(), 80);
    metastore.close().await.unwrap();
}

#[tokio::test]
async fn reads_do_not_wait_for_a_commit_under_way() {
    let folder = tempfile::tempdir().unwrap();
    let gate = Gate::open_at(Step::EndCommit);
    let metastore = Arc::new(open_with(folder.path().join("a.db"), gate.clone()).await);
    let samples = Samples::new(1);
    let of = table(metastore.as_ref(), &samples, "t").await;
    gate.shut();
    let (writer, commit) = (Arc::clone(&metastore), append(&samples, of));
    let task = tokio::spawn(async move { writer.commit(&[commit]).await });
    tokio::task::yield_now().await;
    gate.wait_for_writer();
    for _ in 0..10 {
        assert_eq!(metastore.load_snapshot(of.0, None).await.unwrap().sequence(), Sequence::ZERO);
    }
    gate.open();
    task.await.unwrap().unwrap();
    assert_eq!(metastore.load_snapshot(of.0, None).await.unwrap().sequence().number(), 1, "a read after Ok sees it");
}

#[tokio::test]
async fn dropping_without_closing_keeps_what_was_committed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let samples = Samples::new(1);
    for round in 0..10 {
        let metastore = open(&path).await;
        metastore.create_table(&samples.table(&format!("t{round}"))).await.unwrap();
        assert_eq!(metastore.list_tables().await.unwrap().len(), round + 1);
    }
}

#[tokio::test]
async fn what_a_writer_left_that_did_not_close_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let metastore = open(&path).await;
    fill(&metastore, &Samples::new(1)).await;
    let truth = contents(&metastore).await.unwrap();
    for name in ["b.db", "c.db"] {
        fs::copy(&path, folder.path().join(name)).unwrap();
        fs::copy(path.with_extension("db-wal"), folder.path().join(name).with_extension("db-wal")).unwrap();
    }
    assert_eq!(contents(&open(folder.path().join("b.db")).await).await.unwrap(), truth);
    let by_sqlite = contents(&fixture::open(folder.path().join("c.db")).await).await.unwrap();
    assert_eq!(by_sqlite, truth, "SQLite reads the log of Turso too");
}

#[tokio::test]
async fn torn_write_ahead_log_ends_at_the_last_whole_commit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let metastore = open(&path).await;
    fill(&metastore, &Samples::new(1)).await;
    let truth = contents(&metastore).await.unwrap();
    let wal = fs::read(path.with_extension("db-wal")).unwrap();
    let mut read = 0;
    for part in 1..16 {
        let copy = folder.path().join(format!("{part}.db"));
        fs::copy(&path, &copy).unwrap();
        fs::write(copy.with_extension("db-wal"), &wal[..wal.len() * part / 16]).unwrap();
        let Ok(metastore) = try_open(&copy).await else { continue };
        let all = contents(&metastore).await.unwrap();
        assert!(all.snapshots.iter().all(|snapshot| truth.snapshots.contains(snapshot)), "part {part}");
        read += 1;
    }
    assert!(read > 8, "only {read} of 15 could be read");
}

#[tokio::test]
async fn file_of_another_application_is_refused() {
    for (number, sql) in [
        "CREATE TABLE t (x)",
        "PRAGMA application_id = 7; CREATE TABLE t (x)",
        "PRAGMA user_version = 1",
        "PRAGMA journal_mode = WAL; CREATE TABLE cayenne_table (id)",
    ]
    .into_iter()
    .enumerate()
    {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(format!("{number}.db"));
        Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        refused(&path, "foreign-metastore").await;
    }
}

#[tokio::test]
async fn newer_version_and_changed_schema_are_refused() {
    for (sql, code) in [
        ("PRAGMA user_version = 7", "newer-metastore"),
        ("CREATE TRIGGER gone AFTER INSERT ON commit_log BEGIN DELETE FROM data_file; END", "foreign-metastore"),
        ("CREATE VIEW more AS SELECT 1", "foreign-metastore"),
        ("CREATE TABLE more (x)", "foreign-metastore"),
        ("DROP INDEX data_file_by_time", "foreign-metastore"),
        ("PRAGMA application_id = 0", "foreign-metastore"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let (path, _) = sound(folder.path()).await;
        Connection::open(&path).unwrap().execute_batch(sql).unwrap();
        refused(&path, code).await;
    }
}

/// Asserts that the file is refused with this code, for writing and for reading, and stays unchanged.
async fn refused(path: &Path, code: &str) {
    let before = fs::read(path).unwrap();
    for opened in [try_open(path).await, open_read_only(path).await] {
        let error = opened.map(|_| ()).expect_err("this file should have been refused");
        assert_eq!((error.kind(), error.stable_code()), (ErrorKind::Unsupported, code), "{error:?}");
        assert!(error.to_string().contains(".db"), "the file is not named: {error}");
    }
    assert!(fs::read(path).unwrap() == before, "a refused file was changed");
}

#[tokio::test]
async fn garbage_is_corrupt() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    for bytes in [b"x".to_vec(), vec![0; 100], vec![0xFF; 10_000], b"SQLite format 3\0".to_vec(), b"PAR1".repeat(500)] {
        fs::write(&path, &bytes).unwrap();
        for opened in [open_read_only(&path).await, try_open(&path).await] {
            let error = opened.map(|_| ()).expect_err("garbage was opened");
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
        }
    }
}

#[tokio::test]
async fn flipped_bit_is_found_or_harmless() {
    let folder = tempfile::tempdir().unwrap();
    let (sound, truth) = sound(folder.path()).await;
    let bytes = fs::read(&sound).unwrap();
    let samples = Samples::new(7);
    let mut found = 0;
    for number in 0..96 {
        let byte = if number < 32 { samples.below(100) } else { samples.below(bytes.len() as u64) };
        let mut damaged = bytes.clone();
        damaged[usize::try_from(byte).unwrap()] ^= 1 << samples.below(8);
        let path = folder.path().join(format!("{number}.db"));
        fs::write(&path, &damaged).unwrap();
        let read = async { contents(&try_open(&path).await?).await };
        match read.await {
            Ok(all) => assert!(all == truth, "byte {byte} changed what is read"),
            Err(error) => {
                found += 1;
                let kind = error.kind();
                let about = matches!(kind, ErrorKind::Corrupt | ErrorKind::Unsupported | ErrorKind::NotFound);
                assert!(about, "byte {byte}: {error:?}");
            }
        }
    }
    assert!(found > 10, "only {found} reads found damage");
}

#[tokio::test]
async fn read_only_reads_and_refuses_every_change() {
    let folder = tempfile::tempdir().unwrap();
    let (path, truth) = sound(folder.path()).await;
    let reader = open_read_only(&path).await.unwrap();
    assert_eq!(contents(&reader).await.unwrap(), truth);
    let error = reader.create_table(&Samples::new(1).table("u")).await.unwrap_err();
    assert_eq!((error.kind(), error.stable_code()), (ErrorKind::Invalid, "read-only"));
    reader.close().await.unwrap();
    assert_eq!(reader.list_tables().await.unwrap_err().stable_code(), "closed");
    let missing = open_read_only(folder.path().join("missing.db")).await;
    assert_eq!(missing.unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn no_runtime_is_needed() {
    let folder = tempfile::tempdir().unwrap();
    futures::executor::block_on(async {
        let metastore = open(folder.path().join("a.db")).await;
        fill(&metastore, &Samples::new(1)).await;
        metastore.close().await.unwrap();
    });
}

#[tokio::test]
async fn path_has_no_special_meaning() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["file:a.db", ":memory:", "a?mode=memory", "b%2F#c", "ü 🌶", "'; --"] {
        let path = folder.path().join(name);
        let metastore = open(&path).await;
        fill(&metastore, &Samples::new(1)).await;
        metastore.close().await.unwrap();
        assert_eq!(contents(&fixture::open(&path).await).await.unwrap().tables.len(), 2, "{name}");
    }
}

#[tokio::test]
async fn twenty_thousand_files_load_fast() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let samples = Samples::new(1);
    let metastore = open(&path).await;
    let of = table(&metastore, &samples, "t").await;
    let changes: Vec<_> = (0..20_000).map(|_| Change::AddFile(Box::new(samples.data_file()))).collect();
    metastore.commit(&[samples.commit(of.0, of.1, changes)]).await.unwrap();
    metastore.close().await.unwrap();

    let started = Instant::now();
    let metastore = open(&path).await;
    assert_eq!(metastore.load_snapshot(of.0, None).await.unwrap().files().len(), 20_000);
    // Turso is compiled without optimization here, and the machine is shared.
    let took = started.elapsed();
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[tokio::test]
async fn table_that_vanished_from_its_page_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let (path, _) = sound(folder.path()).await;
    fixture::hide_a_table(&path);
    for opened in [open_read_only(&path).await, try_open(&path).await] {
        assert_eq!(opened.map(|_| ()).unwrap_err().kind(), ErrorKind::Corrupt);
    }
}

#[tokio::test]
async fn closing_leaves_the_file_and_an_empty_log() {
    let folder = tempfile::tempdir().unwrap();
    sound(folder.path()).await;
    let mut left: Vec<_> = folder
        .path()
        .read_dir()
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), entry.metadata().unwrap().len() > 0))
        .collect();
    left.sort();
    assert_eq!(left, [("a.db".to_owned(), true), ("a.db-wal".to_owned(), false)]);
}
