//! Damaged data files: the query names the damaged file, and everything else keeps working.

use std::path::PathBuf;

use crate::database::Database;

/// Returns a database with a sound table `t` and a table `hurt`, and the path of the only data file of `hurt`.
fn two_tables() -> (Database, PathBuf) {
    let database = Database::with_table();
    let whole = database.data_files();
    let create = "CREATE TABLE hurt AS SELECT value AS id, 'name ' || value AS name FROM generate_series(1, 5000)";
    database.ok(&["sql", "-c", create]);
    let file = database.data_files().into_iter().find(|path| !whole.contains(path)).unwrap();
    (database, file)
}

#[track_caller]
fn noticed(database: &Database, file: &std::path::Path, quick_check_sees_it: bool) {
    let name = file.file_stem().unwrap().to_str().unwrap();
    let ran = database.run(&["sql", "-c", "SELECT sum(id), max(name) FROM hurt"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(ran.err.contains(name) && !ran.err.contains("panicked"), "{ran:?}");
    let mut conversation = database.converse(&[]);
    let answer = conversation.say("SELECT sum(id), max(name) FROM hurt");
    assert!(answer.starts_with("ERR ") && answer.contains(name), "{answer}");
    assert!(conversation.say("SELECT sum(id) AS s FROM t").ends_with("s\n6\nOK 1\n"));
    drop(conversation);
    let deep = database.run(&["--format", "csv", "check", "--deep"]);
    assert_eq!(deep.code, Some(3), "{deep:?}");
    assert!(deep.out.contains(name) && deep.out.contains("hurt,"), "{deep:?}");
    assert!(deep.err.starts_with("1 problem in 2 tables"), "{deep:?}");
    let quick = database.run(&["check"]);
    assert_eq!(quick.code, Some(if quick_check_sees_it { 3 } else { 0 }), "{quick:?}");
}

#[test]
fn a_flipped_bit_is_noticed() {
    let (database, file) = two_tables();
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    noticed(&database, &file, false);
}

#[test]
fn a_truncated_file_is_noticed() {
    let (database, file) = two_tables();
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, &bytes[..bytes.len() - 1]).unwrap();
    noticed(&database, &file, true);
}

#[test]
fn an_empty_file_is_noticed() {
    let (database, file) = two_tables();
    std::fs::write(&file, "").unwrap();
    noticed(&database, &file, true);
}

#[test]
fn a_missing_file_is_noticed() {
    let (database, file) = two_tables();
    std::fs::remove_file(&file).unwrap();
    noticed(&database, &file, true);
}

#[test]
fn a_file_of_another_table_is_noticed() {
    let (database, file) = two_tables();
    let other = database.data_files().into_iter().find(|path| *path != file).unwrap();
    std::fs::copy(other, &file).unwrap();
    noticed(&database, &file, true);
}
