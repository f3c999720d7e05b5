//! Files as tables: named in SQL, and as tables of a session.

use cayenne_datafusion::SessionStateBuilderExt;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::prelude::SessionContext;

use crate::fixture::{Fixture, fixture};

/// Writes a file next to the database, and returns its path.
fn write(fixture: &Fixture, name: &str, text: &str) -> String {
    let path = fixture.folder.path().join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Writes the result of a query to a file of a format, and returns its path.
async fn copy(fixture: &Fixture, query: &str, name: &str, clauses: &str) -> String {
    let path = fixture.folder.path().join(name).to_str().unwrap().to_owned();
    fixture.run(&format!("COPY ({query}) TO '{path}' {clauses}")).await;
    path
}

const ROWS: &str = "SELECT 1 AS id, 'one' AS name UNION ALL SELECT 2, NULL";

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_read_by_its_name() {
    let fixture = fixture().await;
    let files = [
        copy(&fixture, ROWS, "t.parquet", "").await,
        copy(&fixture, ROWS, "t.csv", "").await,
        copy(&fixture, ROWS, "t.json", "").await,
        copy(&fixture, ROWS, "t.arrow", "").await,
        copy(&fixture, ROWS, "t.csv.gz", "STORED AS CSV OPTIONS ('format.compression' 'gzip')").await,
        copy(&fixture, ROWS, "t.csv.zst", "STORED AS CSV OPTIONS ('format.compression' 'zstd')").await,
        copy(&fixture, ROWS, "t.csv.bz2", "STORED AS CSV OPTIONS ('format.compression' 'bzip2')").await,
        copy(&fixture, ROWS, "t.json.gz", "STORED AS JSON OPTIONS ('format.compression' 'gzip')").await,
    ];
    for file in files {
        assert_eq!(fixture.rows(&format!("SELECT * FROM '{file}' ORDER BY id")).await, ["1,one", "2,"], "{file}");
        assert_eq!(fixture.rows(&format!("SELECT count(name), sum(id) FROM '{file}'")).await, ["1,3"], "{file}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_fill_tables() {
    let fixture = fixture().await;
    let file = write(&fixture, "t.csv", "id;name\n1;one\n2;two\n");
    fixture.run(&format!("CREATE TABLE t AS SELECT * FROM '{file}'")).await;
    fixture.run(&format!("INSERT INTO t SELECT id + 10, name FROM '{file}' WHERE id = 2")).await;
    assert_eq!(fixture.rows("SELECT * FROM t ORDER BY id").await, ["1,one", "2,two", "12,two"]);
    let joined = format!("SELECT count(*) FROM t JOIN '{file}' AS f ON t.id = f.id");
    assert_eq!(fixture.rows(&joined).await, ["2"]);
    fixture.run(&format!("DELETE FROM t WHERE id IN (SELECT id FROM '{file}')")).await;
    assert_eq!(fixture.rows("SELECT id FROM t").await, ["12"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn describe_tells_the_columns_of_a_file() {
    let fixture = fixture().await;
    let file = write(&fixture, "t.tsv", "id\tprice\tday\n1\t1.5\t2024-01-31\n");
    let described = fixture.rows(&format!("DESCRIBE '{file}'")).await;
    assert_eq!(described, ["id,Int64,YES", "price,Float64,YES", "day,Date32,YES"]);
    let file = copy(&fixture, ROWS, "t.parquet", "").await;
    assert_eq!(fixture.rows(&format!("DESCRIBE '{file}'")).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pattern_reads_the_files_that_are_there_when_it_runs() {
    let fixture = fixture().await;
    write(&fixture, "p/a.csv", "id\n1\n");
    let pattern = write(&fixture, "p/b.csv", "id\n2\n").replace("b.csv", "*.csv");
    write(&fixture, "p/deeper/c.csv", "id\n100\n");
    let sum = format!("SELECT sum(id) FROM '{pattern}'");
    assert_eq!(fixture.rows(&sum).await, ["3"]);
    write(&fixture, "p/c.csv", "id\n4.5\n");
    assert_eq!(fixture.rows(&sum).await, ["7.5"], "a new file counts, and widens the type");
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_of_several_files_are_never_mixed_up() {
    let fixture = fixture().await;
    let first = write(&fixture, "m/a.csv", "x,y\n1,2\n");
    write(&fixture, "m/b.csv", "y,x\n3,4\n");
    let error = fixture.fails(&format!("SELECT * FROM '{}'", first.replace("a.csv", "*.csv"))).await;
    assert_eq!(error.stable_code(), "mixed-sources");
    assert!(error.to_string().contains("b.csv"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_file_is_said_clearly() {
    let fixture = fixture().await;
    let folder = fixture.folder.path().to_str().unwrap().to_owned();
    let code = async |name: &str| fixture.fails(&format!("SELECT * FROM '{name}'")).await.stable_code();
    assert_eq!(code(&format!("{folder}/nowhere.csv")).await, "source-not-found");
    assert_eq!(code("nowhere.csv").await, "source-not-found");
    assert_eq!(code(&format!("{folder}/*.nothing")).await, "source-not-found");
    assert_eq!(code(&folder).await, "bad-source");
    assert_eq!(code("s3://bucket/a.parquet").await, "unsupported");
    let unknown = write(&fixture, "t.dat", "a");
    assert_eq!(code(&unknown).await, "unknown-source");
    let empty = write(&fixture, "e.csv", "");
    assert_eq!(code(&empty).await, "empty-source");
    let broken = write(&fixture, "b.parquet", "PAR1 and no more");
    let error = fixture.fails(&format!("SELECT * FROM '{broken}'")).await;
    assert!(error.to_string().contains("b.parquet"), "{error}");
    write(&fixture, "mixed/a.csv", "id\n1\n");
    copy(&fixture, ROWS, "mixed/b.csv.gz", "STORED AS CSV OPTIONS ('format.compression' 'gzip')").await;
    assert_eq!(code(&format!("{folder}/mixed/*")).await, "mixed-sources");
    for name in ["cut.parquet", "cut.arrow"] {
        let whole = std::fs::read(copy(&fixture, ROWS, name, "").await).unwrap();
        std::fs::write(fixture.folder.path().join(name), &whole[..whole.len() - 5]).unwrap();
        assert_eq!(code(&format!("{folder}/{name}")).await, "bad-source");
    }
    let either = write(&fixture, "either.csv", "a,b;c\nd,e;f\n");
    assert_eq!(code(&either).await, "ambiguous-delimiter");
    assert_eq!(fixture.fails("SELECT * FROM nowhere").await.stable_code(), "sql-plan");
    assert!(fixture.rows("SHOW TABLES").await.iter().all(|row| !row.contains("public")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_never_written_by_its_name() {
    let fixture = fixture().await;
    let file = write(&fixture, "t.csv", "id,name\n1,one\n");
    for statement in [
        format!("INSERT INTO '{file}' VALUES (2, 'two')"),
        format!("DELETE FROM '{file}'"),
        format!("UPDATE '{file}' SET id = 2"),
        format!("TRUNCATE TABLE '{file}'"),
        format!("DROP TABLE '{file}'"),
    ] {
        fixture.fails(&statement).await;
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "id,name\n1,one\n", "{statement}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_may_be_called_like_a_file() {
    let fixture = fixture().await;
    fixture.run("CREATE TABLE \"t.csv\" (id INT)").await;
    fixture.run("INSERT INTO \"t.csv\" VALUES (7)").await;
    assert_eq!(fixture.rows("SELECT * FROM 't.csv'").await, ["7"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_is_named_by_file_line_and_column() {
    let fixture = fixture().await;
    let rows = (0..20_000).map(|id| format!("{id};\"two\nlines\";{id}\n")).collect::<Vec<_>>().concat();
    let text = format!("id;note;n\n{rows}1;x;many\n");
    let file = write(&fixture, "late.csv", &text);
    let error = fixture.fails(&format!("SELECT sum(n) FROM '{file}'")).await;
    assert_eq!(error.stable_code(), "bad-source");
    let facts: Vec<_> = error.facts().filter(|(name, _)| *name != "file").collect();
    assert_eq!(facts, [("line", "40002"), ("column", "n"), ("value", "'many'"), ("type", "Int64")]);
    assert!(error.way_to_mend().is_some_and(|help| help.contains("declare the column")), "{error:?}");
    // A column that the query does not read is not converted.
    assert_eq!(fixture.rows(&format!("SELECT count(id) FROM '{file}'")).await, ["20001"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_a_session_has_a_name() {
    let fixture = fixture().await;
    let file = write(&fixture, "t.csv", "id|name\n1|one\n2|two\n");
    fixture.run(&format!("CREATE EXTERNAL TABLE e STORED AS CSV LOCATION '{file}'")).await;
    assert_eq!(fixture.rows("SELECT * FROM e ORDER BY id").await, ["1,one", "2,two"]);
    assert_eq!(fixture.rows("SELECT name FROM cayenne.public.e WHERE id = 2").await, ["two"]);
    let shown = fixture.rows("SHOW TABLES").await;
    assert!(shown.iter().any(|row| row.starts_with("cayenne,public,e,")), "{shown:?}");
    assert_eq!(fixture.rows("SHOW COLUMNS FROM e").await.len(), 2);
    fixture.run("CREATE TABLE t AS SELECT * FROM e").await;
    assert_eq!(fixture.rows("SELECT count(*) FROM t").await, ["2"]);
    assert_eq!(fixture.database.tables().await.unwrap().len(), 1, "the database knows the other table only");
    fixture.run("DROP TABLE e").await;
    assert_eq!(fixture.fails("SELECT * FROM e").await.stable_code(), "sql-plan");
    assert_eq!(fixture.fails("DROP TABLE e").await.stable_code(), "no-table");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_format_can_be_a_table_of_the_session() {
    let fixture = fixture().await;
    for format in ["PARQUET", "CSV", "JSON", "ARROW"] {
        let name = format.to_lowercase();
        let file = copy(&fixture, ROWS, &format!("t.{name}"), "").await;
        fixture.run(&format!("CREATE EXTERNAL TABLE {name}_ STORED AS {format} LOCATION '{file}'")).await;
        assert_eq!(fixture.rows(&format!("SELECT count(*), count(name) FROM {name}_")).await, ["2,1"], "{format}");
    }
    let packed = copy(&fixture, ROWS, "p.json.gz", "STORED AS JSON OPTIONS ('format.compression' 'gzip')").await;
    fixture.run(&format!("CREATE EXTERNAL TABLE packed STORED AS JSON LOCATION '{packed}'")).await;
    assert_eq!(fixture.rows("SELECT sum(id) FROM packed").await, ["3"]);
    let file = write(&fixture, "t.tsv", "a\tb\n1\tx, y; z\n");
    fixture.run(&format!("CREATE EXTERNAL TABLE tabs STORED AS TSV LOCATION '{file}'")).await;
    assert_eq!(fixture.rows("SELECT b FROM tabs").await, ["x, y; z"]);
    let folder = write(&fixture, "many/a.csv", "id\n1\n").replace("a.csv", "");
    write(&fixture, "many/b.csv", "id\n2\n");
    let create = format!("CREATE EXTERNAL TABLE many STORED AS CSV LOCATION '{folder}'");
    fixture.run(&create).await;
    assert_eq!(fixture.rows("SELECT sum(id) FROM many").await, ["3"]);
    write(&fixture, "many/c.csv", "id\n4\n");
    fixture.run("DROP TABLE many").await;
    fixture.run(&create).await;
    assert_eq!(fixture.rows("SELECT sum(id) FROM many").await, ["7"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_statement_says_of_a_text_file_is_kept() {
    let fixture = fixture().await;
    let file = write(&fixture, "t.csv", "1;NA\n2;x\n");
    let options = "('format.has_header' 'false', 'format.null_regex' '^NA$')";
    fixture.run(&format!("CREATE EXTERNAL TABLE a STORED AS CSV LOCATION '{file}' OPTIONS {options}")).await;
    assert_eq!(fixture.rows("SELECT column_1, column_2 IS NULL FROM a ORDER BY 1").await, ["1,true", "2,false"]);
    fixture.run(&format!("CREATE EXTERNAL TABLE b (n BIGINT, t VARCHAR) STORED AS CSV LOCATION '{file}'")).await;
    assert_eq!(fixture.rows("SELECT sum(n), max(t) FROM b").await, ["3,x"]);
    let comma = "('format.delimiter' ',', 'format.has_header' 'false')";
    fixture.run(&format!("CREATE EXTERNAL TABLE c STORED AS CSV LOCATION '{file}' OPTIONS {comma}")).await;
    assert_eq!(fixture.rows("SELECT * FROM c ORDER BY 1").await, ["1;NA", "2;x"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_taken_once() {
    let fixture = fixture().await;
    let file = write(&fixture, "t.csv", "id\n1\n");
    let external = |clause: &str| format!("CREATE {clause} EXTERNAL TABLE t STORED AS CSV LOCATION '{file}'");
    fixture.run("CREATE TABLE t (id INT)").await;
    fixture.run("INSERT INTO t VALUES (7)").await;
    fixture.fails(&external("")).await;
    assert_eq!(fixture.fails(&external("OR REPLACE")).await.stable_code(), "table-exists");
    assert_eq!(fixture.rows("SELECT * FROM t").await, ["7"], "the table of the database is as it was");
    fixture.run("DROP TABLE t").await;
    fixture.run(&external("")).await;
    for statement in ["CREATE TABLE t (id INT)", "CREATE TABLE t AS SELECT 1 AS id"] {
        assert_eq!(fixture.fails(statement).await.stable_code(), "table-exists", "{statement}");
    }
    assert!(fixture.database.tables().await.unwrap().is_empty());
    fixture.run(&external("OR REPLACE")).await;
    let missing = external("OR REPLACE").replace("t.csv", "missing.csv");
    assert_eq!(fixture.fails(&missing).await.stable_code(), "source-not-found");
    fixture.run(&format!("CREATE EXTERNAL TABLE IF NOT EXISTS t STORED AS CSV LOCATION '{file}'")).await;
    assert_eq!(fixture.rows("SELECT * FROM t").await, ["1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_table_of_nothing_is_refused() {
    let fixture = fixture().await;
    let folder = fixture.folder.path().to_str().unwrap().to_owned();
    for (format, name) in [("CSV", "no.csv"), ("PARQUET", "no.parquet"), ("JSON", "no/*.json"), ("ARROW", "no.arrow")] {
        let error =
            fixture.fails(&format!("CREATE EXTERNAL TABLE e STORED AS {format} LOCATION '{folder}/{name}'")).await;
        assert_eq!(error.stable_code(), "source-not-found", "{format}: {error}");
    }
    let file = write(&fixture, "t.csv", "id\n1\n");
    for options in ["('format.delimiter' ';;')", "('format.null_regex' '(')", "('format.nonsense' '1')"] {
        fixture.fails(&format!("CREATE EXTERNAL TABLE e STORED AS CSV LOCATION '{file}' OPTIONS {options}")).await;
    }
    assert!(fixture.rows("SHOW TABLES").await.iter().all(|row| !row.contains(",e,")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_of_the_program_reads_files_through_the_catalog() {
    let fixture = fixture().await;
    let file = write(&fixture, "t.csv", "id;name\n1;one\n");
    let builder = SessionStateBuilder::new().with_default_features().with_cayenne(&fixture.database);
    let ctx = SessionContext::new_with_state(builder.build());
    let count = async |text: &str| ctx.sql(text).await.unwrap().collect().await.unwrap()[0].num_columns();
    assert_eq!(count(&format!("SELECT * FROM cayenne.public.'{file}'")).await, 2);
    // The session's own catalog keeps its tables, and the dialect of text files is detected there too.
    ctx.sql(&format!("CREATE EXTERNAL TABLE e STORED AS CSV LOCATION '{file}'")).await.unwrap();
    assert_eq!(count("SELECT * FROM datafusion.public.e").await, 2);
    ctx.sql(&format!("CREATE EXTERNAL TABLE cayenne.public.e STORED AS CSV LOCATION '{file}'")).await.unwrap();
    assert_eq!(count("SELECT * FROM cayenne.public.e").await, 2);
    assert_eq!(fixture.fails("SELECT * FROM e").await.stable_code(), "sql-plan", "another session does not have it");
    ctx.sql("CREATE TABLE cayenne.public.t AS SELECT * FROM cayenne.public.e").await.unwrap();
    assert!(ctx.sql("CREATE TABLE cayenne.public.e AS SELECT 1 AS id").await.is_err());
    assert_eq!(fixture.rows("SELECT * FROM t").await, ["1,one"]);
}
