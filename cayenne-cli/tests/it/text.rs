//! Text files: what is detected in them, and what the options override.

use std::io::Write;
use std::process::Stdio;

use crate::database::{Database, Ran};

fn load(database: &Database, source: &str, options: &[&str]) -> Ran {
    database.run(&[&["load", source, "--into", "t", "--replace"], options].concat())
}

/// Loads into a table that is created for it.
fn fresh(database: &Database, source: &str, options: &[&str]) -> Ran {
    database.ok(&["sql", "-c", "DROP TABLE IF EXISTS t"]);
    load(database, source, options)
}

fn piped(database: &Database, bytes: &[u8], options: &[&str]) -> Ran {
    let args = [&["load", "-", "--into", "t", "--replace"], options].concat();
    let mut command = database.command(&args);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(bytes).unwrap();
    child.wait_with_output().unwrap().into()
}

/// Writes a compressed file with the command itself.
fn packed(database: &Database, name: &str, compression: &str) -> String {
    let path = database.path(name).to_str().unwrap().to_owned();
    let rows = "SELECT value AS id, 'name ' || value AS name FROM generate_series(1, 20000)";
    let options = format!("STORED AS CSV OPTIONS ('format.compression' '{compression}')");
    database.ok(&["sql", "-c", &format!("COPY ({rows}) TO '{path}' {options}")]);
    path
}

#[test]
fn the_delimiter_is_found_and_said() {
    let database = Database::new();
    for (name, delimiter, said) in
        [("a.csv", ",", "','"), ("b.csv", ";", "';'"), ("c.csv", "\t", "tab"), ("d.csv", "|", "'|'")]
    {
        let source = database.write(name, "id,name\n1,one\n2,two\n".replace(',', delimiter));
        let ran = load(&database, &source, &[]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        let note = format!("{name}: delimiter {said}, quote '\"', a header\n");
        assert!(ran.err.lines().next().unwrap().ends_with(note.trim_end()), "{ran:?}");
        assert_eq!(database.query("SELECT sum(id), max(name) FROM t"), "3,two\n", "{name}");
    }
    let source = database.write("q.csv", "id;text\n1;'a;b'\n2;'c;d'\n");
    assert!(fresh(&database, &source, &[]).err.contains("delimiter ';', quote \"'\", a header"));
    assert_eq!(database.query("SELECT max(text) FROM t"), "c;d\n");
}

#[test]
fn several_files_are_said_together() {
    let database = Database::new();
    let commas: Vec<String> = (0..3).map(|n| database.write(&format!("{n}.csv"), "id,name\n1,a\n")).collect();
    let tabs = database.write("tabs.csv", "id\tname\n1\ta\n");
    let ran = database.run(&["load", &commas[0], &commas[1], &tabs, &commas[2], "--into", "t"]);
    assert_eq!(ran.err.lines().filter(|line| line.contains("delimiter")).count(), 2, "{ran:?}");
    assert!(ran.err.contains("0.csv and 2 more: delimiter ','"), "{ran:?}");
    assert_eq!(database.query("SELECT count(*) FROM t"), "4\n");
}

#[test]
fn a_file_without_a_header_has_columns_all_the_same() {
    let database = Database::new();
    let source = database.write("n.csv", "1;one\n2;two\n");
    assert!(load(&database, &source, &[]).err.contains("no header"));
    assert_eq!(database.query("SELECT sum(column_1), max(column_2) FROM t"), "3,two\n");
    fresh(&database, &source, &["--columns", "id:smallint,name"]);
    assert_eq!(database.query("SELECT arrow_typeof(id), name FROM t WHERE id = 2"), "Int16,two\n");
    // When they are loaded into an existing table, the columns take its column names, in their order.
    database.ok(&["load", &source, "--into", "t", "--append"]);
    assert_eq!(database.query("SELECT count(*), sum(id) FROM t"), "4,6\n");
    let wide = database.write("w.csv", "1;one;x\n2;two;y\n");
    database.run(&["load", &wide, "--into", "t", "--append"]).failed(1, "mixed-columns");
    let words = database.write("words.csv", "a,b\nc,d\n");
    fresh(&database, &words, &["--no-header"]);
    assert_eq!(database.query("SELECT count(*) FROM t"), "2\n");
    let numbers = database.write("years.csv", "2019,2020\n1,2\n");
    database.ok(&["load", &numbers, "--into", "years", "--header"]);
    assert_eq!(database.query("SELECT \"2020\" FROM years"), "2\n");
}

#[test]
fn options_say_how_a_text_is_written() {
    let database = Database::new();
    let source = database.write("o.txt", "id:'t'\n1:'say \\'hi\\''\n2:NA\n3:\n");
    let options =
        ["--input-format", "csv", "--delimiter", ":", "--quote", "'", "--escape", "\\", "--null", "NA", "--null", "-"];
    let ran = load(&database, &source, &options);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert_eq!(database.query("SELECT count(*), count(t), max(t) FROM t"), "3,1,say 'hi'\n");
    let nulls = database.write("n.csv", "n\n1\nNULL\n3\n");
    fresh(&database, &nulls, &["--null", "NULL"]);
    assert_eq!(database.query("SELECT arrow_typeof(n), count(n) OVER () FROM t LIMIT 1"), "Int64,2\n");
    let codes = database.write("c.csv", "code,n\n007,1\n008,2\n");
    fresh(&database, &codes, &["--columns", "code:varchar"]);
    assert_eq!(database.query("SELECT min(code), sum(n) FROM t"), "007,3\n");
}

#[test]
fn packed_files_are_unpacked() {
    let database = Database::new();
    for (name, compression) in [("a.csv.gz", "gzip"), ("a.csv.zst", "zstd"), ("a.csv.bz2", "bzip2"), ("a.csv.xz", "xz")]
    {
        let source = packed(&database, name, compression);
        let ran = load(&database, &source, &[]);
        assert_eq!(ran.code, Some(0), "{name}: {ran:?}");
        assert_eq!(database.query("SELECT count(*), sum(id), max(name) FROM t"), "20000,200010000,name 9999\n");
        let bytes = std::fs::read(&source).unwrap();
        assert_eq!(piped(&database, &bytes, &[]).code, Some(0), "{name}");
        assert_eq!(database.query("SELECT count(*) FROM t"), "20000\n");
        for cut in [bytes.len() / 2, bytes.len() - 3] {
            let before = database.describe("t");
            std::fs::write(&source, &bytes[..cut]).unwrap();
            let error = load(&database, &source, &[]).failed(1, "bad-source");
            assert!(error.contains(name) && error.contains("cut off"), "{error}");
            assert!(piped(&database, &bytes[..cut], &[]).failed(1, "bad-source").contains("standard input"));
            assert_eq!(database.describe("t"), before, "{name}");
        }
    }
    let garbage = database.write("g.csv.gz", "id,name\n1,a\n");
    load(&database, &garbage, &[]).failed(1, "bad-source");
    let hidden = packed(&database, "b.csv.gz", "gzip");
    let renamed = database.write("b.csv", std::fs::read(hidden).unwrap());
    assert!(load(&database, &renamed, &[]).failed(1, "bad-source").contains(".csv.gz"));
}

#[test]
fn standard_input_is_a_file_too() {
    let database = Database::new();
    let ran = piped(&database, b"id;name\n1;one\n", &[]);
    assert!(ran.err.starts_with("standard input: delimiter ';', quote '\"', a header\n"), "{ran:?}");
    assert_eq!(database.query("SELECT * FROM t"), "1,one\n");
    assert_eq!(piped(&database, b"{\"id\":5,\"name\":\"five\"}\n", &[]).code, Some(0));
    assert_eq!(database.query("SELECT * FROM t"), "5,five\n");
    let parquet = database.path("t.parquet").to_str().unwrap().to_owned();
    database.ok(&["sql", "-c", &format!("COPY (SELECT 9 AS id, 'nine' AS name) TO '{parquet}'")]);
    assert_eq!(piped(&database, &std::fs::read(&parquet).unwrap(), &[]).code, Some(0));
    assert_eq!(database.query("SELECT * FROM t"), "9,nine\n");
}

#[test]
fn standard_input_that_ends_early_changes_nothing() {
    let database = Database::with_table();
    let before = database.describe("t");
    piped(&database, b"", &[]).failed(1, "empty-source");
    let error = piped(&database, b"id,name\n1,a\n2", &[]).failed(1, "bad-source");
    assert!(error.contains("standard input") && error.contains("line: 3"), "{error}");
    for text in ["id,name\n1,a\n2,\"b", "id,name\n1,a\n2,\"b\n"] {
        let error = piped(&database, text.as_bytes(), &[]).failed(1, "bad-source");
        assert!(error.contains("within a quoted field") && error.contains("line: 3"), "{error}");
    }
    database.run(&["load", "-", "t.csv", "--into", "t", "--append"]).failed(1, "mixed-sources");
    assert_eq!(database.describe("t"), before);
}

#[test]
fn two_delimiters_that_are_equally_likely_are_asked_for() {
    let database = Database::new();
    let source = database.write("a.csv", "a,b;c\nd,e;f\n");
    let error = load(&database, &source, &[]).failed(1, "ambiguous-delimiter");
    assert!(error.contains("--delimiter") && error.contains("a.csv"), "{error}");
    assert_eq!(database.ok(&["--format", "csv", "tables"]).lines().count(), 1);
    load(&database, &source, &["--delimiter", ";"]);
    assert_eq!(database.query("SELECT * FROM t"), "\"d,e\",f\n");
}

#[test]
fn what_does_not_fit_names_the_option_that_helps() {
    let database = Database::new();
    let source = database.write("v.csv", "id,note\n1,\"a\nb\"\n\nmany,c\n");
    let error = load(&database, &source, &["--sample-rows", "1"]).failed(1, "bad-source");
    for part in ["v.csv", "line: 5", "column: id", "value: 'many'", "--columns", "--sample-rows", "--null"] {
        assert!(error.contains(part), "{part}: {error}");
    }
    let error = load(&database, &source, &["--columns", "id:decimal(4,1)"]).failed(1, "bad-source");
    assert!(error.contains("line: 5") && error.contains("column: id"), "{error}");
    let ragged = database.write("r.csv", "id;name\n1;a\n2\n3;c\n");
    let error = load(&database, &ragged, &[]).failed(1, "bad-source");
    assert!(error.contains("line: 3") && error.contains("--delimiter"), "{error}");
    assert_eq!(database.ok(&["--format", "csv", "tables"]).lines().count(), 1, "no table is left over");
}

#[test]
fn wrong_options_are_refused() {
    let database = Database::new();
    let source = database.write("t.csv", "id,name\n1,a\n");
    for options in [
        ["--delimiter", ""],
        ["--delimiter", "::"],
        ["--quote", "ä"],
        ["--escape", "\n"],
        ["--sample-rows", "0"],
        ["--no-header", "--header"],
    ] {
        assert_eq!(load(&database, &source, &options).code, Some(2), "{options:?}");
    }
    for options in [["--columns", "id:nonsense"], ["--columns", "id,id"], ["--columns", ""], ["--delimiter", "\""]] {
        let options = [&options[..], &["--quote", "\""]].concat();
        load(&database, &source, &options).failed(1, "bad-option");
    }
    load(&database, &source, &["--columns", "nam:int"]).failed(1, "unknown-column");
    load(&database, &source, &["--no-header", "--columns", "a"]).failed(1, "bad-option");
    let json = database.write("t.ndjson", "{\"id\":1}\n");
    let error = load(&database, &json, &["--delimiter", ";"]).failed(1, "bad-option");
    assert!(error.contains("--delimiter"), "{error}");
    assert_eq!(database.ok(&["--format", "csv", "tables"]).lines().count(), 1);
}
