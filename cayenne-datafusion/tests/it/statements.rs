//! Statements that change tables.

use crate::fixture::{fixture, open};

#[tokio::test(flavor = "multi_thread")]
async fn tables_are_made_filled_read_and_dropped() {
    let f = fixture().await;
    f.run("CREATE TABLE t (id BIGINT NOT NULL, name VARCHAR)").await;
    assert_eq!(f.rows("SELECT count(*) FROM t").await, ["0"]);
    assert_eq!(f.rows("INSERT INTO t VALUES (1, 'a'), (2, NULL)").await, ["2"]);
    assert_eq!(f.rows("INSERT INTO t (id) VALUES (3)").await, ["1"]);
    assert_eq!(f.rows("SELECT id, name FROM t ORDER BY id").await, ["1,a", "2,", "3,"]);
    assert_eq!(f.rows("INSERT OVERWRITE t SELECT id + 10, 'n' FROM t WHERE id > 1").await, ["2"]);
    assert_eq!(f.rows("SELECT id FROM t ORDER BY id").await, ["12", "13"]);
    f.run("TRUNCATE TABLE t").await;
    assert_eq!(f.rows("SELECT count(*), max(id) FROM t").await, ["0,"]);
    f.run("DROP TABLE t").await;
    assert_eq!(f.fails("SELECT * FROM t").await.stable_code(), "sql-plan");
    assert_eq!(f.fails("DROP TABLE t").await.stable_code(), "no-table");
    f.run("DROP TABLE IF EXISTS t").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn create_table_as_streams_and_appears_at_once() {
    let f = fixture().await;
    f.run("CREATE TABLE n AS SELECT value AS id, value % 7 AS k FROM generate_series(1, 100000)").await;
    assert_eq!(f.rows("SELECT count(*), sum(id), max(k) FROM n").await, ["100000,5000050000,6"]);
    let error = f.fails("CREATE TABLE n AS SELECT 1 AS id").await;
    assert_eq!(error.stable_code(), "table-exists");
    f.run("CREATE TABLE IF NOT EXISTS n AS SELECT 1 AS id").await;
    assert_eq!(f.rows("SELECT count(*) FROM n").await, ["100000"]);
    // A statement that fails half-way leaves no table.
    f.fails("CREATE TABLE broken AS SELECT 1 / (value - 50000) AS x FROM generate_series(1, 100000)").await;
    assert!(f.database.tables().await.unwrap().iter().all(|record| record.name.as_str() != "broken"));
    f.run("CREATE OR REPLACE TABLE n AS SELECT 5::BIGINT AS id, 6::BIGINT AS k").await;
    assert_eq!(f.rows("SELECT id, k FROM n").await, ["5,6"]);
    f.run("CREATE OR REPLACE TABLE n AS SELECT 'x' AS y").await;
    assert_eq!(f.rows("SELECT y FROM n").await, ["x"]);
    assert_eq!(f.fails("CREATE TABLE d AS SELECT 1 AS a, 2 AS a").await.kind(), cayenne_format::ErrorKind::Invalid);
}

/// A plain session, without `cayenne_datafusion::sql`, creates the same tables.
#[tokio::test(flavor = "multi_thread")]
async fn a_plain_datafusion_session_makes_the_same_tables() {
    let f = fixture().await;
    f.ctx.sql("CREATE TABLE t AS VALUES (1), (2)").await.unwrap().collect().await.unwrap();
    f.ctx.sql("INSERT INTO t VALUES (3)").await.unwrap().collect().await.unwrap();
    assert_eq!(f.rows("SELECT sum(column1) FROM t").await, ["6"]);
    f.ctx.sql("DROP TABLE t").await.unwrap().collect().await.unwrap();
    assert!(f.database.tables().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_is_there_after_a_reopen() {
    let mut f = fixture().await;
    f.run("CREATE TABLE \"Odd name; --\" AS VALUES ('x''y', 1)").await;
    f.run("CREATE TABLE t AS SELECT value AS id FROM generate_series(1, 10)").await;
    f.run("INSERT INTO t VALUES (11)").await;
    f.database.close().await.unwrap();
    let (database, ctx) = open(f.folder.path()).await;
    (f.database, f.ctx) = (database, ctx);
    assert_eq!(f.rows("SELECT sum(id) FROM t").await, ["66"]);
    assert_eq!(f.rows("SELECT column1 FROM \"Odd name; --\"").await, ["x'y"]);
    assert_eq!(f.rows("SELECT count(*) FROM cayenne_at('t', 1)").await, ["10"]);
}

/// `EXPLAIN` and a dropped stream change nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_is_lazy() {
    let f = fixture().await;
    f.run("CREATE TABLE t AS VALUES (1)").await;
    for text in ["INSERT INTO t VALUES (2)", "INSERT OVERWRITE t VALUES (2)", "TRUNCATE TABLE t"] {
        f.run(&format!("EXPLAIN {text}")).await;
        let frame = cayenne_datafusion::sql(&f.ctx, text).await.unwrap();
        drop(frame.clone().execute_stream().await.unwrap());
        drop(frame);
        assert_eq!(f.rows("SELECT column1 FROM t").await, ["1"], "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn earlier_snapshots_are_read_by_sequence() {
    let f = fixture().await;
    f.run("CREATE TABLE t AS VALUES (1)").await;
    f.run("INSERT INTO t VALUES (2)").await;
    f.run("INSERT OVERWRITE t VALUES (7)").await;
    assert_eq!(f.rows("SELECT * FROM cayenne_at('t', 2) ORDER BY 1").await, ["1", "2"]);
    let both = "SELECT count(*) FROM t JOIN cayenne_at('t', 1) AS old ON t.column1 > old.column1";
    assert_eq!(f.rows(both).await, ["1"]);
    for bad in [
        "SELECT * FROM cayenne_at('t')",
        "SELECT * FROM cayenne_at('t', -1)",
        "SELECT * FROM cayenne_at('t', 99)",
        "SELECT * FROM cayenne_at('nope', 1)",
        "SELECT * FROM cayenne_at('../x', 1)",
        "SELECT * FROM cayenne_at('t', 'x')",
    ] {
        f.fails(bad).await;
    }
}

/// Ordered rows are stored in their order, whatever the number of partitions.
#[tokio::test(flavor = "multi_thread")]
async fn ordered_rows_are_stored_in_their_order() {
    let f = fixture().await;
    f.run("CREATE TABLE src AS SELECT (value * 7919) % 100003 AS k FROM generate_series(1, 100000)").await;
    f.run("CREATE TABLE t AS SELECT k FROM src ORDER BY k").await;
    assert_eq!(f.rows("SELECT count(*) FROM t$files").await, ["1"]);
    let batches = f.run("SELECT k FROM t").await;
    let column = datafusion::arrow::compute::concat_batches(&batches[0].schema(), &batches).unwrap();
    let keys = column.column(0).as_any().downcast_ref::<arrow_array::Int64Array>().unwrap();
    assert_eq!(keys.len(), 100_000);
}
