//! Loads of valid files.

use std::fs::File;
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_ipc::writer::{FileWriter, StreamWriter};
use datafusion::parquet::arrow::ArrowWriter;

use crate::database::Database;

pub(crate) fn batch(ids: std::ops::Range<i64>) -> RecordBatch {
    let names: StringArray = ids.clone().map(|id| (id % 3 > 0).then(|| format!("n{id}"))).collect();
    let columns: [(&str, ArrayRef); 2] =
        [("id", Arc::new(Int64Array::from_iter_values(ids))), ("name", Arc::new(names))];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap()
}

pub(crate) fn write_parquet(database: &Database, name: &str, batch: &RecordBatch) -> String {
    let path = database.path(name);
    let mut writer = ArrowWriter::try_new(File::create(&path).unwrap(), batch.schema(), None).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
    path.to_str().unwrap().to_owned()
}

pub(crate) fn write_arrow(database: &Database, name: &str, batch: &RecordBatch) -> String {
    let path = database.path(name);
    let mut writer = FileWriter::try_new(File::create(&path).unwrap(), &batch.schema()).unwrap();
    writer.write(batch).unwrap();
    writer.finish().unwrap();
    path.to_str().unwrap().to_owned()
}

const SUMS: &str = "SELECT count(*), sum(id), count(name), min(name) FROM t";

#[test]
fn every_kind_of_file_loads_the_same_rows() {
    let database = Database::new();
    let rows = batch(0..100);
    let arrows = database.path("t.arrows");
    let mut stream = StreamWriter::try_new(File::create(&arrows).unwrap(), &rows.schema()).unwrap();
    stream.write(&rows).unwrap();
    stream.finish().unwrap();
    let text = |line: fn(i64) -> String| (0..100).map(line).collect::<String>();
    let csv = text(|id| if id % 3 > 0 { format!("{id},n{id}\n") } else { format!("{id},\n") });
    let json =
        text(
            |id| {
                if id % 3 > 0 { format!("{{\"id\":{id},\"name\":\"n{id}\"}}\n") } else { format!("{{\"id\":{id}}}\n") }
            },
        );
    let sources = [
        write_parquet(&database, "t.parquet", &rows),
        write_arrow(&database, "t.feather", &rows),
        arrows.to_str().unwrap().to_owned(),
        database.write("t.csv", format!("id,name\n{csv}")),
        database.write("t.tsv", format!("id,name\n{csv}").replace(',', "\t")),
        database.write("t.jsonl", json),
    ];
    for source in sources {
        let ran = database.run(&["load", &source, "--into", "t", "--replace"]);
        assert_eq!(ran.code, Some(0), "{source}: {ran:?}");
        assert!(ran.err.lines().last().unwrap().starts_with("loaded 100 rows into t in "), "{source}: {ran:?}");
        assert!(ran.out.is_empty(), "{source}: {ran:?}");
        assert_eq!(database.query(SUMS), "100,4950,66,n1\n", "{source}");
    }
}

#[test]
fn a_loaded_table_is_there_in_every_later_process() {
    let database = Database::with_table();
    assert_eq!(database.query("SELECT id, name FROM t ORDER BY id"), "1,one\n2,two\n3,three\n");
    assert_eq!(database.ok(&["--format", "csv", "tables"]).lines().nth(1).unwrap().split(',').next(), Some("t"));
    let described = database.describe("t");
    assert_eq!((&described["rows"], &described["sequence"]), (&3.into(), &1.into()));
    assert_eq!(described["columns"][0]["name"], "id");
    assert_eq!(described["options"]["cayenne_compression_strategy"], "btrblocks");
    let check = database.run(&["check", "--deep"]);
    assert_eq!((check.code, check.out.as_str()), (Some(0), ""), "{check:?}");
    assert!(check.err.starts_with("no problems in 1 table, 1 data file, 3 rows"), "{check:?}");
}

#[test]
fn a_present_table_needs_a_word_on_its_rows() {
    let database = Database::with_table();
    let source = database.write("more.csv", "name,id\nfour,4\n");
    let error = database.run(&["load", &source, "--into", "t"]).failed(1, "table-exists");
    assert!(error.contains("--append") && error.contains("--replace"), "{error}");
    database.ok(&["load", &source, "--into", "t", "--append"]);
    assert_eq!(database.query("SELECT count(*), sum(id) FROM t"), "4,10\n");
    database.ok(&["load", &source, "--into", "t", "--replace"]);
    assert_eq!(database.query("SELECT id, name FROM t"), "4,four\n");
    assert_eq!(database.run(&["load", &source, "--into", "t", "--append", "--replace"]).code, Some(2));
}

#[test]
fn several_files_and_patterns_become_one_commit() {
    let database = Database::new();
    for part in 0..5_i64 {
        write_parquet(&database, &format!("part-{part}.parquet"), &batch(part * 10..(part + 1) * 10));
    }
    let last = write_parquet(&database, "last.parquet", &batch(50..60));
    let pattern = database.path("part-*.parquet");
    database.ok(&["load", pattern.to_str().unwrap(), &last, "--into", "t"]);
    assert_eq!(database.query("SELECT count(*), sum(id) FROM t"), "60,1770\n");
    assert_eq!(database.describe("t")["sequence"], 1);
}

#[test]
fn csv_files_widen_each_others_types_and_match_by_name() {
    let database = Database::new();
    let a = database.write("a.csv", "n,x\n1,\n2,\n");
    let b = database.write("b.csv", "x,n\n2024-01-01,2.5\n");
    database.ok(&["load", &a, &b, "--into", "t"]);
    assert_eq!(database.query("SELECT sum(n), max(x) FROM t"), "5.5,2024-01-01\n");
}

#[test]
fn quoted_fields_may_hold_line_ends_and_separators() {
    let database = Database::new();
    let source = database.write("q.csv", "id,text\n1,\"a\nb,c\"\n2,\"say \"\"hi\"\"\"\n");
    database.ok(&["load", &source, "--into", "t"]);
    assert_eq!(database.query("SELECT count(*), sum(char_length(text)) FROM t"), "2,13\n");
}

#[test]
fn a_header_alone_makes_an_empty_table() {
    let database = Database::new();
    let source = database.write("h.csv", "id,name\n");
    database.ok(&["load", &source, "--into", "t"]);
    assert_eq!(database.query("SELECT count(*) FROM t"), "0\n");
    assert_eq!(database.describe("t")["columns"][1]["name"], "name");
}

#[test]
fn names_of_files_are_taken_literally() {
    let database = Database::new();
    for name in ["a[1] %20 ü.csv", "*.csv", "what?.csv"] {
        let source = database.write(name, "id\n7\n");
        database.ok(&["load", &source, "--into", "t", "--replace"]);
        assert_eq!(database.query("SELECT * FROM t"), "7\n", "{name}");
        std::fs::remove_file(source).unwrap();
    }
}

#[test]
fn names_of_tables_and_columns_may_be_odd() {
    let database = Database::new();
    let source = database.write("odd.csv", "\"a.b\",\"Ünï \"\"q\"\"\",c;d\n1,2,3\n");
    let table = "Odd na.me;--";
    database.ok(&["load", &source, "--into", table]);
    let quoted = "SELECT \"a.b\", \"Ünï \"\"q\"\"\", \"c;d\" FROM \"Odd na.me;--\"";
    assert_eq!(database.query(quoted), "1,2,3\n");
    assert_eq!(database.describe(table)["name"], table);
}

#[test]
fn options_are_set_when_the_table_is_made_and_never_later() {
    let database = Database::new();
    let source = database.write("t.csv", "id\n1\n");
    let misspelt = ["load", &source, "--into", "t", "--option", "compresion_strategy=zstd"];
    assert!(database.run(&misspelt).failed(1, "unknown-option").contains("did you mean"));
    assert_eq!(database.run(&["load", &source, "--into", "t", "--option", "zstd"]).code, Some(2));
    let option = ["load", &source, "--into", "t", "--option", "cayenne_compression_strategy=zstd"];
    database.ok(&option);
    assert_eq!(database.describe("t")["options"]["cayenne_compression_strategy"], "zstd");
    database.run(&[option.as_slice(), &["--append"]].concat()).failed(1, "table-exists");
}

#[test]
fn quiet_says_nothing() {
    let database = Database::new();
    let source = database.write("t.csv", "id\n1\n");
    let ran = database.run(&["-q", "load", &source, "--into", "t"]);
    assert_eq!((ran.code, ran.out.as_str(), ran.err.as_str()), (Some(0), "", ""));
}
