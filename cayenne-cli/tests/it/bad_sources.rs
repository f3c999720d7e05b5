//! Loads of files that are missing, broken or do not fit fail with a clear error and change nothing.

use arrow_array::RecordBatch;

use crate::database::Database;
use crate::load::{batch, write_arrow, write_parquet};
use crate::random::Random;

/// Asserts that a load into an existing table and into a new one fails, names the file, and changes nothing.
#[track_caller]
fn refused(database: &Database, sources: &[&str], code: &str) -> String {
    let before = database.describe("t");
    let into = |table| [&["load"], sources, &["--into", table, "--append"]].concat();
    database.run(&into("new")).failed(1, code);
    let error = database.run(&into("t")).failed(1, code);
    assert_eq!(database.describe("t"), before);
    assert_eq!(database.ok(&["--format", "csv", "tables"]).lines().count(), 2, "a table was left over");
    database.ok(&["collect"]);
    database.assert_no_left_overs();
    let last = sources.last().unwrap();
    assert!(error.contains(last), "{error} does not name {last}");
    error
}

#[test]
fn missing_files_and_patterns_without_a_match_are_named() {
    let database = Database::with_table();
    refused(&database, &["nowhere.csv"], "source-not-found");
    refused(&database, &["nowhere-*.csv"], "source-not-found");
    let folder = database.root().to_str().unwrap().to_owned();
    refused(&database, &[&folder], "bad-source");
    refused(&database, &["a[.csv"], "invalid");
}

#[test]
fn what_cannot_be_read_is_refused_with_a_way_out() {
    let database = Database::with_table();
    let packed = database.write("t.csv.zip", "x");
    assert!(refused(&database, &[&packed], "compressed-source").contains("unpack"));
    let unknown = database.write("t.dat", "id,name\n1,a\n");
    assert!(refused(&database, &[&unknown], "unknown-source").contains("--input-format"));
    database.ok(&["load", &unknown, "--input-format", "csv", "--into", "t", "--append"]);
    let parquet = write_parquet(&database, "t.parquet", &batch(0..3));
    let csv = database.path("t.csv").to_str().unwrap().to_owned();
    refused(&database, &[&csv, &parquet], "mixed-sources");
}

#[test]
fn empty_files_are_refused() {
    let database = Database::with_table();
    for name in ["e.parquet", "e.arrow", "e.csv", "e.tsv"] {
        let source = database.write(name, "");
        refused(&database, &[&source], "empty-source");
    }
    // An empty NDJSON file has no rows, which is fine if the columns are known.
    let source = database.write("e.ndjson", "");
    database.run(&["load", &source, "--into", "new"]).failed(1, "empty-source");
    database.ok(&["load", &source, "--into", "t", "--append"]);
    assert_eq!(database.query("SELECT count(*) FROM t"), "3\n");
}

/// Truncates and garbles a file in many places. Each load must fail, or load the content of the whole file.
fn sweep(name: &str, write: fn(&Database, &str, &RecordBatch) -> String) {
    let database = Database::with_table();
    let source = write(&database, name, &batch(0..500));
    let whole = std::fs::read(&source).unwrap();
    let mut broken: Vec<Vec<u8>> = (1..8).map(|eighth| whole[..whole.len() * eighth / 8].to_vec()).collect();
    broken.extend([1, 4, 8].map(|bytes| whole[..whole.len() - bytes].to_vec()));
    broken.push(vec![0; whole.len()]);
    broken.push(b"PAR1PAR1".to_vec());
    for bytes in broken {
        std::fs::write(&source, &bytes).unwrap();
        let error = refused(&database, &[&source], "bad-source");
        assert!(error.contains("  why: "), "{error}");
    }
}

/// Flips bytes throughout a file. A load may fail or store what the library made of it, but must not panic.
fn garble(name: &str, write: fn(&Database, &str, &RecordBatch) -> String) {
    let database = Database::with_table();
    let mut random = Random::from_environment();
    let source = write(&database, name, &batch(0..500));
    let whole = std::fs::read(&source).unwrap();
    for round in 0..60 {
        let mut bytes = whole.clone();
        for _ in 0..=round % 3 {
            let at = usize::try_from(random.below(bytes.len() as u64)).unwrap();
            bytes[at] ^= 1 << random.below(8);
        }
        std::fs::write(&source, &bytes).unwrap();
        let ran = database.run(&["load", &source, "--into", "t", "--replace"]);
        let noticed = ran.code == Some(1) && ran.err.contains("error[bad-source]: ") && ran.err.contains(name);
        assert!(ran.code == Some(0) || noticed || ran.err.contains("error["), "{ran:?}");
    }
    assert_eq!(database.run(&["check", "--deep"]).code, Some(0));
}

#[test]
fn garbled_parquet_files_break_nothing() {
    garble("g.parquet", write_parquet);
}

#[test]
fn garbled_arrow_files_break_nothing() {
    garble("g.arrow", write_arrow);
}

#[test]
fn truncated_parquet_files_are_named() {
    sweep("b.parquet", write_parquet);
}

#[test]
fn truncated_arrow_files_are_named() {
    sweep("b.arrow", write_arrow);
}

#[test]
fn a_ragged_row_is_named_by_its_line() {
    let database = Database::with_table();
    let ragged = database.write("r.csv", "id,name\n1,a\n2\n3,c\n");
    let error = refused(&database, &[&ragged], "bad-source");
    assert!(error.contains("line: 3"), "{error}");
    let wide = database.write("w.csv", "id,name\n1,a,x\n");
    let error = refused(&database, &[&wide], "bad-source");
    assert!(error.contains("line: 2"), "{error}");
}

#[test]
fn among_several_files_the_broken_one_is_named() {
    let database = Database::with_table();
    let good: Vec<String> = (0..9).map(|n| database.write(&format!("g{n}.csv"), "id,name\n1,a\n")).collect();
    let bad = database.write("bad.csv", "id,name\n1,a\n2\n");
    let mut sources: Vec<&str> = good.iter().map(String::as_str).collect();
    sources.push(&bad);
    refused(&database, &sources, "bad-source");
}

#[test]
fn values_that_do_not_fit_are_named_by_line() {
    let database = Database::with_table();
    let source = database.write("v.csv", "id,name\n1,a\nmany,b\n");
    let error = database.run(&["load", &source, "--into", "t", "--append"]).failed(1, "bad-source");
    assert!(error.contains("'many'") && error.contains("v.csv"), "{error}");
    // In a new table the column is text. A late text in a column of numbers is an error again.
    database.ok(&["load", &source, "--into", "own"]);
    let late = database.write("late.csv", "id,name\n1,a\nmany,b\n");
    let error = database.run(&["load", &late, "--into", "other", "--infer-rows", "1"]).failed(1, "bad-source");
    assert!(error.contains("'many'"), "{error}");
}

#[test]
fn columns_that_do_not_fit_are_named() {
    let database = Database::with_table();
    let unknown = database.write("u.csv", "id,nam\n4,x\n");
    let error = database.run(&["load", &unknown, "--into", "t", "--append"]).failed(1, "unknown-column");
    assert!(error.contains("column: nam\n") && error.contains("u.csv"), "{error}");
    let json = database.write("u.ndjson", "{\"id\":4}\n{\"id\":5,\"extra\":1}\n");
    let error = database.run(&["load", &json, "--into", "t", "--append"]).failed(1, "unknown-column");
    assert!(error.contains("column: extra\n"), "{error}");
    // A nullable column may be left out.
    let fewer = database.write("f.csv", "id\n4\n");
    database.ok(&["load", &fewer, "--into", "t", "--append"]);
    assert_eq!(database.query("SELECT count(*), count(name) FROM t"), "4,3\n");
}

#[test]
fn broken_json_is_named() {
    let database = Database::with_table();
    for text in ["{\"id\":1}\n{\"id\":", "[1,2]\n", "nonsense\n", "{\"id\":\"x\",\"name\":5}\n"] {
        let source = database.write("b.ndjson", text);
        let error = database.run(&["load", &source, "--into", "t", "--append"]).failed(1, "bad-source");
        assert!(error.contains("b.ndjson"), "{text}: {error}");
    }
    assert_eq!(database.query("SELECT count(*) FROM t"), "3\n");
}

#[test]
fn parquet_files_that_differ_are_both_named() {
    let database = Database::new();
    let a = write_parquet(&database, "a.parquet", &batch(0..3));
    let other = RecordBatch::try_from_iter([("id", batch(0..3).column(1).clone())]).unwrap();
    let b = write_parquet(&database, "b.parquet", &other);
    let error = database.run(&["load", &a, &b, "--into", "t"]).failed(1, "mixed-sources");
    assert!(error.contains("a.parquet") && error.contains("b.parquet"), "{error}");
}
