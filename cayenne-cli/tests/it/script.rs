//! Statements from the command line, from files and from a pipe.

use std::io::Write;
use std::process::Stdio;

use crate::database::{Database, Ran};

fn piped(database: &Database, args: &[&str], text: &str) -> Ran {
    let mut child =
        database.command(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    child.wait_with_output().unwrap().into()
}

const CSV: [&str; 3] = ["--format", "csv", "sql"];

#[test]
fn commands_and_files_run_in_the_order_given() {
    let database = Database::new();
    let file = database.write("f.sql", "\u{feff}INSERT INTO t VALUES (2);\n-- the end\nSELECT * FROM t ORDER BY a");
    let args = [&CSV[..], &["-c", "CREATE TABLE t (a BIGINT)", "-f", &file, "-c", "TRUNCATE TABLE t; SELECT 7"]];
    assert_eq!(database.ok(&args.concat()), "count\n1\na\n2\ncount\n1\nInt64(7)\n7\n");
}

#[test]
fn a_pipe_is_read_to_its_end() {
    let database = Database::new();
    let ran = piped(&database, &CSV, "CREATE TABLE t AS SELECT 1 AS a;\nSELECT a FROM t\n");
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), "count\n1\na\n1\n"), "{ran:?}");
    let ran = piped(&database, &["--format", "csv", "sql", "-f", "-"], "SELECT a FROM t");
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), "a\n1\n"), "{ran:?}");
}

#[test]
fn the_first_error_ends_a_script() {
    let database = Database::with_table();
    let ran = piped(&database, &CSV, "SELECT 1 AS a; SELECT nope; TRUNCATE TABLE t");
    assert_eq!(ran.out, "a\n1\n");
    let error = ran.failed(1, "sql-plan");
    assert!(error.contains("nope"), "{error}");
    assert_eq!(database.query("SELECT count(*) FROM t"), "3\n");
    database.run(&["sql", "-c", "SELEC 1"]).failed(1, "sql-syntax");
    database.run(&["sql", "-f", "missing.sql"]).failed(1, "not-found");
}

#[test]
fn acknowledged_statements_are_answered_one_by_one() {
    let database = Database::new();
    let mut conversation = database.converse(&[]);
    assert_eq!(conversation.say("CREATE TABLE t (a BIGINT, b VARCHAR)"), "OK 0\n");
    assert_eq!(conversation.say("INSERT INTO t VALUES (1, 'x;y'), (2, NULL)"), "OK 2\n");
    let answer = conversation.say("SELECT\nnope\nFROM t");
    assert!(answer.starts_with("ERR sql-plan ") && answer.lines().count() == 1, "{answer}");
    assert_eq!(conversation.say("SELECT a FROM t ORDER BY a"), "a\n1\n2\nOK 2\n");
    let answer = conversation.say("INSERT INTO t SELECT 1/0, 'x' FROM t");
    assert!(answer.starts_with("ERR "), "{answer}");
    assert_eq!(conversation.say("CREATE TABLE u AS SELECT a FROM t WHERE a > 1"), "OK 1\n");
    assert_eq!(conversation.say("CREATE OR REPLACE TABLE u AS SELECT a FROM t"), "OK 2\n");
    assert_eq!(conversation.say("CREATE TABLE IF NOT EXISTS u AS SELECT a FROM t"), "OK 0\n");
    assert_eq!(conversation.say("DROP TABLE u"), "OK 0\n");
    assert_eq!(conversation.say("TRUNCATE TABLE t"), "OK 2\n");
    assert_eq!(conversation.say("DROP TABLE t"), "OK 0\n");
    assert_eq!(conversation.end(), Some(1), "a statement had failed");
    assert_eq!(database.ok(&["--format", "ndjson", "tables"]), "");
}

#[test]
fn an_acknowledged_write_survives_the_death_of_its_process() {
    let database = Database::new();
    for round in 1..4 {
        let mut conversation = database.converse(&[]);
        assert_eq!(conversation.say("CREATE TABLE IF NOT EXISTS t (a BIGINT)"), "OK 0\n");
        assert_eq!(conversation.say("INSERT INTO t VALUES (1)"), "OK 1\n");
        // The process is killed, not ended.
        drop(conversation);
        assert_eq!(database.query("SELECT sum(a) FROM t"), format!("{round}\n"));
    }
}

#[test]
fn limits_of_memory_are_errors() {
    let database = Database::new();
    let sort =
        "SELECT count(*) FROM (SELECT value, row_number() OVER (ORDER BY value DESC) FROM generate_series(1, 2000000))";
    let group = "SELECT count(*) FROM (SELECT value, array_agg(value) FROM generate_series(1, 500000) GROUP BY value)";
    let codes = [sort, group].map(|sql| {
        let ran = database.run(&["--memory-limit", "1MB", "--threads", "2", "sql", "-c", sql]);
        assert!(!ran.err.contains("panicked"), "{ran:?}");
        ran.code
    });
    assert!(codes.contains(&Some(1)), "nothing was refused: {codes:?}");
    database.run(&["--memory-limit", "1MB", "sql", "-c", group]).failed(1, "resource-limit");
    assert_eq!(database.run(&["--memory-limit", "lots", "sql", "-c", "SELECT 1"]).code, Some(2));
}

#[test]
fn explain_is_readable() {
    let database = Database::with_table();
    let plan = database.ok(&["sql", "-c", "EXPLAIN SELECT * FROM t WHERE id > 1"]);
    assert!(plan.contains("logical_plan") && !plan.contains("\\n"), "{plan}");
}
