//! Damaged files give the true contents or an error, and never a panic.

use std::fs;
use std::path::{Path, PathBuf};

use cayenne_format::{ErrorKind, Result};
use cayenne_metastore::conformance::Samples;
use cayenne_metastore::{CommitLog, Metastore};
use rusqlite::Connection;

use crate::fixture::{Contents, append, contents, fill, hide_a_table, open, open_read_only, table, try_open};

/// Creates a closed metastore with some contents, and returns its path and the contents.
async fn sound(folder: &Path) -> (PathBuf, Contents) {
    let path = folder.join("sound.db");
    let metastore = open(&path).await;
    fill(&metastore, &Samples::new(1)).await;
    let truth = contents(&metastore).await.unwrap();
    metastore.close().await.unwrap();
    (path, truth)
}

async fn read_all(path: &Path) -> Result<Contents> {
    let metastore = try_open(path).await?;
    let all = contents(&metastore).await;
    metastore.close().await?;
    all
}

async fn read_all_read_only(path: &Path) -> Result<Contents> {
    contents(&open_read_only(path).await?).await
}

fn is_about_damage(kind: ErrorKind) -> bool {
    // A damaged schema, version or application id looks like a file of another application. A damaged index hides a row
    // from a lookup by id, as if the file had never existed.
    matches!(kind, ErrorKind::Corrupt | ErrorKind::Unsupported | ErrorKind::NotFound)
}

#[tokio::test]
async fn truncated_file_is_corrupt() {
    let folder = tempfile::tempdir().unwrap();
    let (sound, truth) = sound(folder.path()).await;
    let bytes = fs::read(&sound).unwrap();
    let damaged = folder.path().join("a.db");
    for part in 1..=16 {
        let length = (bytes.len() * part / 16).min(bytes.len() - 1);
        fs::write(&damaged, &bytes[..length]).unwrap();
        for read in [read_all_read_only(&damaged).await, read_all(&damaged).await] {
            match read {
                // A part of its last page is missing, which may hold none of our data.
                Ok(all) => assert!(all == truth && length % 512 != 0, "{length} bytes were read as something else"),
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::Corrupt, "after {length} bytes: {error:?}");
                    assert!(error.to_string().contains("a.db"), "the file is not named: {error}");
                }
            }
        }
        for suffix in ["db-wal", "db-shm"] {
            let _missing = fs::remove_file(damaged.with_extension(suffix));
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
        for read in [read_all_read_only(&path).await, read_all(&path).await] {
            match read {
                Ok(all) => assert!(all == truth, "byte {byte} changed what is read"),
                Err(error) => {
                    found += 1;
                    assert!(is_about_damage(error.kind()), "byte {byte}: {error:?}");
                }
            }
        }
    }
    assert!(found > 20, "only {found} reads found damage");
}

#[tokio::test]
async fn every_changed_value_of_a_row_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let (sound, _) = sound(folder.path()).await;
    let columns = [
        ("cayenne_table", "id name location columns options made_at digest"),
        ("writer", "epoch host process since digest"),
        ("commit_log", "id operation made_at files_added files_removed rows_added rows_hidden manifest parent chain"),
        (
            "data_file",
            "id added_at removed_at row_count byte_count content_hash digest path partition_values column_stats",
        ),
        ("inline_rows", "bytes"),
        ("data_file_blocks", "checksums digest"),
        ("deletion", "id file_key added_at removed_at row_count digest path inline_bytes"),
        ("tombstone_file", "id added_at removed_at key_count digest path inline_bytes"),
        ("history", "kept_from known_from digest"),
        ("source_position", "stream position sequence digest"),
        ("staged", "id commit_bytes digest"),
        ("cayenne_view", "name definition default_catalog default_schema dialect columns made_at digest"),
    ];
    for (table, names) in columns {
        for column in names.split(' ') {
            let path = folder.path().join(format!("{table}-{column}.db"));
            fs::copy(&sound, &path).unwrap();
            let connection = Connection::open(&path).unwrap();
            let change = format!(
                "PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON; UPDATE {table} SET {column} =
                    CASE typeof({column}) WHEN 'integer' THEN {column} + 1 WHEN 'text' THEN {column} || 'x'
                    WHEN 'blob' THEN CAST(substr({column}, 2) || x'07' AS BLOB) END
                WHERE rowid = (SELECT rowid FROM {table} WHERE length({column}) > 0 LIMIT 1)"
            );
            connection.execute_batch(&change).unwrap_or_else(|error| panic!("{table}.{column}: {error}"));
            assert_eq!(connection.changes(), 1, "{table}.{column} has no value to change");
            drop(connection);
            let error = read_all(&path).await.expect_err(&format!("a changed {table}.{column} was not found"));
            assert!(is_about_damage(error.kind()), "{table}.{column}: {error:?}");
        }
    }
}

#[tokio::test]
async fn every_lost_row_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let (sound, _) = sound(folder.path()).await;
    for (table, key) in [
        ("data_file", "file_key"),
        ("inline_rows", "file_key"),
        ("deletion", "deletion_key"),
        ("tombstone_file", "tombstone_key"),
        ("commit_log", "sequence"),
        ("writer", "table_id"),
    ] {
        let path = folder.path().join(format!("{table}.db"));
        fs::copy(&sound, &path).unwrap();
        let connection = Connection::open(&path).unwrap();
        let lose =
            format!("PRAGMA foreign_keys = OFF; DELETE FROM {table} WHERE {key} = (SELECT max({key}) FROM {table})");
        connection.execute_batch(&lose).unwrap();
        drop(connection);
        let error = read_all(&path).await.expect_err(&format!("a lost row of {table} was not found"));
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{table}: {error:?}");
    }
}

#[tokio::test]
async fn lost_commit_between_others_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let (path, truth) = sound(folder.path()).await;
    Connection::open(&path).unwrap().execute_batch("DELETE FROM commit_log WHERE sequence = 5").unwrap();
    let metastore = open(&path).await;
    let error = metastore.load_log(truth.tables[0].id).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
    assert!(error.to_string().contains("before: 6"), "{error}");
}

#[tokio::test]
async fn table_that_vanished_from_its_page_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let (path, _) = sound(folder.path()).await;
    hide_a_table(&path);
    for read in [read_all_read_only(&path).await, read_all(&path).await] {
        assert_eq!(read.unwrap_err().kind(), ErrorKind::Corrupt);
    }
}

#[tokio::test]
async fn damaged_row_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (path, _) = sound(folder.path()).await;
    let connection = Connection::open(&path).unwrap();
    connection.execute_batch("UPDATE data_file SET row_count = row_count + 1 WHERE file_key = 3").unwrap();
    drop(connection);
    let message = read_all(&path).await.unwrap_err().to_string();
    assert!(message.contains("metastore_table: data_file, row: 3"), "{message}");
    assert!(message.contains("sound.db"), "{message}");
}

#[tokio::test]
async fn garbage_is_corrupt() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    for bytes in [b"x".to_vec(), vec![0; 100], vec![0xFF; 10_000], b"SQLite format 3\0".to_vec(), b"PAR1".repeat(500)] {
        fs::write(&path, bytes).unwrap();
        for read in [read_all_read_only(&path).await, read_all(&path).await] {
            let error = read.expect_err("garbage was read");
            assert_eq!(error.kind(), ErrorKind::Corrupt, "{error:?}");
        }
    }
}

#[tokio::test]
async fn empty_file_is_a_new_metastore() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    fs::write(&path, b"").unwrap();
    assert_eq!(read_all(&path).await.unwrap().tables, []);
}

#[tokio::test]
async fn write_ahead_log_without_its_file_is_not_thrown_away() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let metastore = open(&path).await;
    fill(&metastore, &Samples::new(1)).await;
    let moved = folder.path().join("b.db");
    let wal = fs::read(path.with_extension("db-wal")).unwrap();
    fs::write(moved.with_extension("db-wal"), &wal).unwrap();
    for missing in [true, false] {
        for read in [read_all_read_only(&moved).await, read_all(&moved).await] {
            assert_eq!(read.unwrap_err().kind(), ErrorKind::Corrupt, "missing: {missing}");
        }
        fs::write(&moved, b"").unwrap();
    }
    assert!(fs::read(moved.with_extension("db-wal")).unwrap() == wal, "the log was changed");
}

#[tokio::test]
async fn lost_write_ahead_log_gives_an_earlier_state_or_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let samples = Samples::new(1);
    let metastore = open(&path).await;
    let of = table(&metastore, &samples, "t").await;
    metastore.close().await.unwrap();
    let metastore = open(&path).await;
    metastore.commit(&[append(&samples, of)]).await.unwrap();
    let copy = folder.path().join("b.db");
    fs::copy(&path, &copy).unwrap();
    let all = read_all(&copy).await.unwrap();
    assert_eq!(all.tables[0].sequence.number(), 0);
    assert_eq!(all.blocks.len(), 0);
}

#[tokio::test]
async fn torn_write_ahead_log_ends_at_the_last_whole_commit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    let metastore = open(&path).await;
    fill(&metastore, &Samples::new(1)).await;
    let truth = contents(&metastore).await.unwrap();
    let wal = fs::read(path.with_extension("db-wal")).unwrap();
    for part in 1..16 {
        let copy = folder.path().join(format!("{part}.db"));
        fs::copy(&path, &copy).unwrap();
        fs::write(copy.with_extension("db-wal"), &wal[..wal.len() * part / 16]).unwrap();
        let Ok(all) = read_all(&copy).await else { continue };
        for (log, whole) in all.logs.iter().zip(&truth.logs) {
            assert!(whole.starts_with(log), "part {part}");
        }
        assert!(all.snapshots.iter().all(|snapshot| truth.snapshots.contains(snapshot)), "part {part}");
    }
}

#[tokio::test]
async fn unusable_paths_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, b"x").unwrap();
    for (path, kind) in [
        (folder.path().to_path_buf(), ErrorKind::Invalid),
        (folder.path().join("missing").join("a.db"), ErrorKind::NotFound),
        (file.join("a.db"), ErrorKind::Invalid),
    ] {
        for opened in [try_open(&path).await, open_read_only(&path).await] {
            let error = opened.map(|_| ()).expect_err("this path should have been refused");
            assert_eq!(error.kind(), kind, "{error:?}");
            assert!(error.to_string().contains(path.to_str().unwrap()), "the path is not named: {error}");
        }
    }
}

// pitfall 64
#[tokio::test]
async fn path_has_no_special_meaning() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["file:a.db", ":memory:", "a?mode=memory", "b%2F#c", "ü 🌶", "'; --"] {
        let path = folder.path().join(name);
        let metastore = open(&path).await;
        fill(&metastore, &Samples::new(1)).await;
        metastore.close().await.unwrap();
        assert_eq!(read_all_read_only(&path).await.unwrap().tables.len(), 2, "{name}");
    }
    assert_eq!(folder.path().read_dir().unwrap().count(), 6);
}
