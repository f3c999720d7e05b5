//! What is printed to which stream, and in which format.

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;

use arrow_ipc::reader::StreamReader;

use crate::database::Database;

const ROWS: &str = "SELECT id, name FROM t WHERE id < 3 ORDER BY id";

#[test]
fn rows_are_printed_in_every_format() {
    let database = Database::with_table();
    let print = |format| database.ok(&["--format", format, "sql", "-c", ROWS]);
    assert_eq!(print("csv"), "id,name\n1,one\n2,two\n");
    assert_eq!(print("ndjson"), "{\"id\":1,\"name\":\"one\"}\n{\"id\":2,\"name\":\"two\"}\n");
    assert_eq!(print("json"), "[{\"id\":1,\"name\":\"one\"},{\"id\":2,\"name\":\"two\"}]\n");
    let table = "+----+------+\n| id | name |\n+----+------+\n| 1  | one  |\n| 2  | two  |\n+----+------+\n";
    assert_eq!(print("table"), table);
    let arrow = database.command(&["--format", "arrow", "sql", "-c", ROWS]).output().unwrap().stdout;
    let batches = StreamReader::try_new(arrow.as_slice(), None).unwrap();
    assert_eq!(batches.map(|batch| batch.unwrap().num_rows()).sum::<usize>(), 2);
}

#[test]
fn results_of_every_size_are_whole() {
    let database = Database::new();
    for rows in [0, 1, 8_191, 8_192, 100_000] {
        let sql = format!("SELECT value FROM generate_series(1, {rows})");
        for format in ["csv", "ndjson", "table"] {
            let out = database.ok(&["--format", format, "sql", "-c", &sql]);
            let found = out.lines().filter(|line| line.chars().any(|c| c.is_ascii_digit())).count();
            assert_eq!(found, rows, "{format}");
        }
    }
}

#[test]
fn control_characters_do_not_reach_a_terminal() {
    let database = Database::new();
    let source = database.write("c.csv", "\"na\u{1b}[31mme\"\n\"\u{1b}]0;owned\u{7}\"\n");
    database.ok(&["load", &source, "--into", "t"]);
    for args in [&["sql", "-c", "SELECT * FROM t"][..], &["describe", "t"], &["sql", "-c", "SELECT 1 AS \"a\u{1b}\""]] {
        let ran = database.run(args);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert!(!ran.out.contains(['\u{1b}', '\u{7}']), "{ran:?}");
    }
    let error = database.run(&["describe", "no\u{1b}[31m\nsuch"]).failed(1, "invalid-table-name");
    assert!(!error.contains('\u{1b}') && error.contains("\\u{1b}"), "{error}");
    let error = database.run(&["sql", "-c", "SELECT * FROM \"x\u{1b}\""]);
    assert!(error.code == Some(1) && !error.err.contains('\u{1b}'), "{error:?}");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let database = Database::new();
    let mut command =
        database.command(&["--format", "csv", "sql", "-c", "SELECT value FROM generate_series(1, 3000000)"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    drop(stdout);
    let mut complaint = String::new();
    child.stderr.take().unwrap().read_to_string(&mut complaint).unwrap();
    assert_eq!((child.wait().unwrap().code(), complaint.as_str()), (Some(0), ""));
}

#[test]
fn describe_and_tables_have_stable_shapes() {
    let database = Database::with_table();
    let header = database.ok(&["--format", "csv", "tables"]);
    assert!(header.starts_with("name,rows,files,bytes,sequence,kind\nt,3,1,"), "{header}");
    let described = database.describe("t");
    let keys: Vec<_> = described.as_object().unwrap().keys().map(String::as_str).collect();
    let expected = "bytes columns data_files data_files_omitted files hidden_rows id location made_at name options read_amplification rows sequence";
    assert_eq!(keys.join(" "), expected);
    let file = described["data_files"][0].as_object().unwrap().keys().map(String::as_str).collect::<Vec<_>>();
    assert_eq!(file.join(" "), "added_at bytes hidden_rows id path rows");
    let text = database.ok(&["describe", "t"]);
    assert!(text.contains("| property ") && text.contains("| column ") && text.contains("| data file "), "{text}");
}

#[test]
fn commands_without_a_database_need_none() {
    let database = Database::new();
    assert!(database.ok(&["version"]).starts_with("cayenne "));
    for shell in ["bash", "zsh", "fish"] {
        assert!(database.ok(&["completions", shell]).contains("cayenne"), "{shell}");
    }
    assert!(database.ok(&["--help"]).contains("check"));
    assert_eq!(database.run(&["sqll"]).code, Some(2));
    assert_eq!(database.run(&[]).code, Some(2));
    assert!(!database.root().exists());
}
