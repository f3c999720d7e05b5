//! Several processes on one database.

use std::time::{Duration, Instant};

use crate::database::Database;

#[test]
fn a_second_writer_is_told_who_writes() {
    let database = Database::with_table();
    let source = database.path("t.csv").to_str().unwrap().to_owned();
    let mut writer = database.converse(&[]);
    assert_eq!(writer.say("INSERT INTO t VALUES (4, 'four')"), "OK 1\n");
    for args in [
        &["sql", "-c", "INSERT INTO t VALUES (5, 'five')"][..],
        &["sql", "-c", "TRUNCATE TABLE t"],
        &["sql", "-c", "DROP TABLE t"],
        &["load", &source, "--into", "t", "--append"],
        &["load", &source, "--into", "t", "--replace"],
    ] {
        let error = database.run(args).failed(4, "table-locked");
        for part in ["  table: t\n", "  writer: process ", "  help: "] {
            assert!(error.contains(part), "{error}");
        }
    }
    // Other tables can be written, and all tables can be read.
    database.ok(&["sql", "-c", "CREATE TABLE u AS SELECT 1 AS a"]);
    assert_eq!(database.query("SELECT count(*) FROM t"), "4\n");
    assert_eq!(writer.say("INSERT INTO t VALUES (6, 'six')"), "OK 1\n");
    assert_eq!(writer.end(), Some(0));
    database.ok(&["sql", "-c", "INSERT INTO t VALUES (7, 'seven')"]);
    assert_eq!(database.query("SELECT count(*) FROM t"), "6\n");
}

#[test]
fn an_acknowledging_script_exits_as_its_first_failure_says() {
    let database = Database::with_table();
    let mut writer = database.converse(&[]);
    assert_eq!(writer.say("TRUNCATE TABLE t"), "OK 3\n");
    let mut second = database.converse(&[]);
    assert!(second.say("TRUNCATE TABLE t").starts_with("ERR table-locked "));
    assert_eq!(second.say("SELECT count(*) AS n FROM t"), "n\n0\nOK 1\n");
    assert_eq!(second.end(), Some(4));
}

#[test]
fn a_reader_sees_what_another_process_commits() {
    let database = Database::with_table();
    let mut reader = database.converse(&["--read-only"]);
    assert_eq!(reader.say("SELECT count(*) AS n FROM t"), "n\n3\nOK 1\n");
    let mut writer = database.converse(&[]);
    assert_eq!(writer.say("INSERT INTO t VALUES (4, 'four')"), "OK 1\n");
    let patience = Instant::now() + Duration::from_secs(10);
    while reader.say("SELECT count(*) AS n FROM t") != "n\n4\nOK 1\n" {
        assert!(Instant::now() < patience, "the reader never saw the commit");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(reader.say("INSERT INTO t VALUES (5, 'five')").starts_with("ERR read-only "));
}
