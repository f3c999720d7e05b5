//! Errors for databases that are missing, foreign or not permitted.

use std::os::unix::fs::PermissionsExt;

use crate::database::Database;

#[test]
fn a_file_in_place_of_the_database_is_an_error() {
    let database = Database::new();
    std::fs::write(database.root(), "not a folder").unwrap();
    for args in [&["sql", "-c", "SELECT 1"][..], &["tables"], &["check"], &["collect"]] {
        let ran = database.run(args);
        assert_eq!(ran.code, Some(1), "{ran:?}");
        assert!(ran.err.starts_with("error[") && ran.err.contains(database.root().to_str().unwrap()), "{ran:?}");
    }
    assert_eq!(std::fs::read(database.root()).unwrap(), b"not a folder");
}

#[test]
fn looking_at_a_missing_database_does_not_make_one() {
    let database = Database::new();
    for args in
        [&["tables"][..], &["describe", "t"], &["check"], &["collect"], &["sql", "--read-only", "-c", "SELECT 1"]]
    {
        database.run(args).failed(1, "no-database");
    }
    assert!(!database.root().exists());
    assert_eq!(database.run(&["--db", "", "tables"]).code, Some(2));
}

#[test]
fn the_database_may_be_named_by_the_environment() {
    let database = Database::with_table();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_cayenne"));
    let output = command.env("CAYENNE_DB", database.root()).args(["tables", "--format", "ndjson"]).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("{\"name\":\"t\",\"rows\":3,"), "{output:?}");
}

/// The help of the error names an option that works.
#[test]
fn a_database_with_another_metastore_is_opened_as_the_error_says() {
    let database = Database::with_table();
    let error = database.run(&["--metastore", "turso", "tables"]).failed(1, "other-metastore");
    assert!(error.contains("--metastore sqlite"), "{error}");
    database.ok(&["--metastore", "sqlite", "tables"]);
}

#[test]
fn hostile_table_names_stay_inside_the_folder() {
    let database = Database::new();
    let source = database.write("t.csv", "id\n1\n");
    for name in ["../x", "..", ".", "", "a/b", "a\nb", "t$files", &"x".repeat(129)] {
        let error = database.run(&["load", &source, "--into", name]).failed(1, "invalid-table-name");
        assert!(error.contains("  help: "), "{error}");
        database.run(&["describe", name]).code.filter(|code| *code == 1).unwrap();
    }
    let ran = database.run(&["sql", "-c", "CREATE TABLE \"../x\" (a BIGINT)"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(!database.path("x").exists());
}

#[test]
fn an_unknown_table_is_named() {
    let database = Database::with_table();
    let error = database.run(&["describe", "T"]).failed(1, "no-table");
    assert!(error.contains("  table: T\n") && error.contains("  help: "), "{error}");
}

#[test]
fn a_database_of_a_newer_version_is_refused() {
    let database = Database::with_table();
    let metastore = database.root().join("metadata/cayenne.db");
    let mut bytes = std::fs::read(&metastore).unwrap();
    // `PRAGMA user_version`, at its offset in the header of every SQLite file.
    bytes[60..64].copy_from_slice(&1_000_000_u32.to_be_bytes());
    std::fs::write(&metastore, &bytes).unwrap();
    for args in [&["sql", "-c", "SELECT count(*) FROM t"][..], &["tables"], &["check"]] {
        database.run(args).failed(1, "newer-metastore");
    }
    assert_eq!(std::fs::read(&metastore).unwrap(), bytes, "the file was touched");
}

#[test]
fn a_damaged_metastore_is_refused() {
    let database = Database::with_table();
    let metastore = database.root().join("metadata/cayenne.db");
    let whole = std::fs::read(&metastore).unwrap();
    let garbled = whole.iter().map(|byte| byte ^ 0x5a).collect();
    for bytes in [garbled, whole[..whole.len() / 2].to_vec(), b"hello".to_vec()] {
        std::fs::write(&metastore, bytes).unwrap();
        for args in [&["sql", "-c", "SELECT count(*) FROM t"][..], &["tables"]] {
            let ran = database.run(args);
            assert_eq!(ran.code, Some(1), "{ran:?}");
            assert!(ran.err.starts_with("error[") && !ran.err.contains("panicked"), "{ran:?}");
        }
    }
}

#[test]
fn a_read_only_session_changes_nothing() {
    let database = Database::with_table();
    for sql in ["INSERT INTO t VALUES (4, 'x')", "TRUNCATE TABLE t", "DROP TABLE t", "CREATE TABLE u (a BIGINT)"] {
        let error = database.run(&["sql", "--read-only", "-c", sql]).failed(1, "read-only");
        assert!(error.contains("  help: "), "{error}");
    }
    assert_eq!(database.query("SELECT count(*) FROM t"), "3\n");
}

#[test]
fn a_folder_without_permission_to_write_is_refused() {
    let database = Database::with_table();
    let read_only = |on: bool| {
        for folder in [database.root(), database.root().join("data"), database.root().join("metadata")] {
            std::fs::set_permissions(folder, std::fs::Permissions::from_mode(if on { 0o555 } else { 0o755 })).unwrap();
        }
    };
    read_only(true);
    if std::fs::write(database.root().join("probe"), "").is_ok() {
        println!("SKIPPED: this process may write everywhere, so permissions prove nothing; run it without root");
        read_only(false);
        return;
    }
    let fresh = database.root().join("below");
    let ran = database.run(&["--db", fresh.to_str().unwrap(), "sql", "-c", "SELECT 1"]);
    ran.failed(1, "no-permission");
    assert_eq!(database.query("SELECT count(*) FROM t"), "3\n");
    read_only(false);
}
