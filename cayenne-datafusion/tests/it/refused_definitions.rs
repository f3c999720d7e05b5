//! Rejected definitions of tables change nothing: no folder, file, table or setting is new or different afterwards.

use arrow_array::RecordBatch;
use std::collections::BTreeMap;
use std::path::Path;

use cayenne_datafusion::{SessionStateBuilderExt, error_of};
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::prelude::SessionContext;

use crate::fixture::{Fixture, fixture};

/// Returns every file and folder below a folder with its size, except the log of the metastore, which opening may
/// change.
fn tree(root: &Path) -> BTreeMap<String, u64> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let path = entry.path();
            let name = path.strip_prefix(root).unwrap().display().to_string();
            let is_folder = entry.file_type().unwrap().is_dir();
            found.insert(name, if is_folder { 0 } else { entry.metadata().unwrap().len() });
            if is_folder {
                folders.push(path);
            }
        }
    }
    found
}

/// All state that a statement could have changed.
async fn state(f: &Fixture) -> (BTreeMap<String, u64>, Vec<cayenne_metastore::TableRecord>, Vec<String>, Vec<String>) {
    let names = "SELECT table_schema, table_name, table_type FROM information_schema.tables ORDER BY 1, 2";
    let settings = "SELECT name, value FROM information_schema.df_settings ORDER BY 1";
    (tree(f.folder.path()), f.database.tables().await.unwrap(), f.rows(names).await, f.rows(settings).await)
}

const REFUSED: &[&str] = &[
    // Columns.
    "CREATE TABLE x (a INT, a INT)",
    "CREATE TABLE x (a INTERVAL)",
    "CREATE TABLE x (a NOTYPE)",
    "CREATE TABLE x AS SELECT 1 AS a, 2 AS a",
    "CREATE TABLE x AS SELECT a FROM nowhere",
    "CREATE TABLE x AS SELECT 1 / (value - 500) AS a FROM generate_series(1, 1000)",
    "CREATE TABLE x (a INT NOT NULL) AS SELECT value FROM generate_series(1, 3) WHERE value = 'x'",
    // Defaults.
    "CREATE TABLE x (a INT DEFAULT 'abc')",
    "CREATE TABLE x (a INT NOT NULL DEFAULT NULL)",
    "CREATE TABLE x (a INT DEFAULT b, b INT)",
    "CREATE TABLE x (a INT DEFAULT (SELECT max(id) FROM t))",
    // Keys.
    "CREATE TABLE x (a INT PRIMARY KEY, b INT PRIMARY KEY)",
    "CREATE TABLE x (a INT UNIQUE)",
    "CREATE TABLE x (a INT, PRIMARY KEY (b))",
    "CREATE TABLE x (a INT[], PRIMARY KEY (a))",
    // Clauses and names.
    "CREATE TABLE t (a INT)",
    "CREATE TABLE IF NOT EXISTS t (a INT, a INT)",
    "CREATE TEMPORARY TABLE x (a INT)",
    "CREATE TABLE \"a/b\" (a INT)",
    "CREATE TABLE \"\" (a INT)",
    "CREATE TABLE nowhere.x (a INT)",
    "CREATE TABLE system.x (a INT)",
    "CREATE TABLE x (a INT) PARTITION BY (a)",
    "CREATE TABLE x (a INT CHECK (a > 1))",
    "CREATE TABLE x (a INT REFERENCES t (id))",
    "CREATE TABLE x LIKE t",
    // In place of a table.
    "CREATE OR REPLACE TABLE t (a INT, a INT)",
    "CREATE OR REPLACE TABLE t (a INTERVAL)",
    "CREATE OR REPLACE TABLE t (a INT DEFAULT 'abc')",
    "CREATE OR REPLACE TABLE t (a INT UNIQUE)",
    "CREATE OR REPLACE TABLE t AS SELECT 1 / (value - 500) AS a FROM generate_series(1, 1000)",
    "CREATE OR REPLACE TABLE IF NOT EXISTS t (a INT)",
    // External tables of this database.
    "CREATE EXTERNAL TABLE x (a INT) STORED AS CAYENNE",
    "CREATE EXTERNAL TABLE x STORED AS CAYENNE LOCATION '{root}'",
    "CREATE EXTERNAL TABLE x (a INTERVAL) STORED AS CAYENNE LOCATION '{root}'",
    "CREATE EXTERNAL TABLE x (a INT DEFAULT 'abc') STORED AS CAYENNE LOCATION '{root}'",
    "CREATE EXTERNAL TABLE x (a INT, PRIMARY KEY (b)) STORED AS CAYENNE LOCATION '{root}'",
    "CREATE EXTERNAL TABLE x (a INT) STORED AS CAYENNE LOCATION '{root}' OPTIONS (nonsense '1')",
    "CREATE EXTERNAL TABLE x (a INT) STORED AS CAYENNE LOCATION '{root}' OPTIONS (on_conflict 'drop')",
    "CREATE EXTERNAL TABLE x (a INT) STORED AS CAYENNE WITH ORDER (a) LOCATION '{root}'",
    "CREATE EXTERNAL TABLE x (a INT) STORED AS CAYENNE PARTITIONED BY (a) LOCATION '{root}'",
    "CREATE UNBOUNDED EXTERNAL TABLE x (a INT) STORED AS CAYENNE LOCATION '{root}'",
    "CREATE OR REPLACE EXTERNAL TABLE t (a INT) STORED AS CAYENNE LOCATION '{root}'",
    "CREATE OR REPLACE EXTERNAL TABLE t (a INT) STORED AS CSV LOCATION '{root}/nothing.csv'",
    "CREATE EXTERNAL TABLE t (a INT) STORED AS CAYENNE LOCATION '{root}'",
    "CREATE EXTERNAL TABLE system.x (a INT) STORED AS CAYENNE LOCATION '{root}'",
    "CREATE EXTERNAL TABLE nowhere.x (a INT) STORED AS CAYENNE LOCATION '{root}'",
    "CREATE EXTERNAL TABLE x (a INT) STORED AS CAYENNE LOCATION 's3://bucket/x'",
    // The rest.
    "DROP TABLE x",
    "DROP TABLE \"a/b\"",
    "DROP TABLE system.tables",
    "CREATE SCHEMA public",
    "CREATE SCHEMA s",
    "DROP SCHEMA public",
    "DROP SCHEMA nowhere",
    "DROP SCHEMA public CASCADE",
    "CREATE INDEX i ON t (id)",
    "CREATE FUNCTION f(INT) RETURNS INT RETURN $1 + 1",
    "DROP FUNCTION f",
    "ALTER TABLE t ADD COLUMN c INT",
    "ALTER TABLE t RENAME TO u",
    "TRUNCATE TABLE x",
];

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_leaves_nothing() {
    let f = fixture().await;
    f.run("CREATE TABLE t (id BIGINT PRIMARY KEY, a INT DEFAULT 3)").await;
    f.run("INSERT INTO t (id) VALUES (1)").await;
    let before = state(&f).await;
    for text in REFUSED {
        let text = text.replace("{root}", &f.folder.path().display().to_string());
        let error = f.fails(&text).await;
        let after = state(&f).await;
        assert_eq!(before, after, "{text}: {error}");
    }
    assert_eq!(f.rows("SELECT * FROM t").await, ["1,3"]);
}

/// Each statement names a database of its own: a rejected statement creates no folder for it.
const ELSEWHERE: &[&str] = &[
    "x STORED AS CAYENNE LOCATION '{new}'",
    "x (a INTERVAL) STORED AS CAYENNE LOCATION '{new}'",
    "x (a INT, a INT) STORED AS CAYENNE LOCATION '{new}'",
    "x (a INT DEFAULT 'abc') STORED AS CAYENNE LOCATION '{new}'",
    "x (a INT NOT NULL DEFAULT NULL) STORED AS CAYENNE LOCATION '{new}'",
    "x (a INT UNIQUE) STORED AS CAYENNE LOCATION '{new}'",
    "x (a INT[], PRIMARY KEY (a)) STORED AS CAYENNE LOCATION '{new}'",
    "x (a INT) STORED AS CAYENNE LOCATION '{new}' OPTIONS (nonsense '1')",
    "x (a INT) STORED AS CAYENNE LOCATION '{new}' OPTIONS (target_file_size_mb '0')",
    "x (a INT) STORED AS CAYENNE LOCATION '{new}' OPTIONS (on_conflict 'drop')",
    "x (a INT) STORED AS CAYENNE WITH ORDER (a) LOCATION '{new}'",
    "\"a/b\" (a INT) STORED AS CAYENNE LOCATION '{new}'",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_database_elsewhere_is_made_only_for_a_table_that_is_made() {
    let f = fixture().await;
    let outside = tempfile::tempdir().unwrap();
    let new = outside.path().join("new");
    let plain = SessionStateBuilder::new().with_default_features().with_cayenne(&f.database).build();
    let plain = SessionContext::new_with_state(plain);
    for text in ELSEWHERE {
        let text = format!("CREATE EXTERNAL TABLE {}", text.replace("{new}", &new.display().to_string()));
        let error = error_of(plain.sql(&text).await.expect_err(&text));
        assert_eq!(tree(outside.path()), BTreeMap::new(), "{text}: {error}");
    }
    let text = format!("CREATE EXTERNAL TABLE x (a INT DEFAULT 5) STORED AS CAYENNE LOCATION '{}'", new.display());
    // The catalog of a database accepts no table of another database.
    let error = f.fails(&text).await;
    assert_eq!(tree(outside.path()), BTreeMap::new(), "{error}");
    plain.sql(&text).await.unwrap();
    plain.sql("INSERT INTO x DEFAULT VALUES").await.expect_err("only cayenne_datafusion::sql reads the word");
    cayenne_datafusion::sql(&plain, "INSERT INTO x DEFAULT VALUES").await.unwrap().collect().await.unwrap();
    let rows = plain.sql("SELECT a FROM x").await.unwrap().collect().await.unwrap();
    assert_eq!(rows.iter().map(RecordBatch::num_rows).sum::<usize>(), 1);
    let other = format!("CREATE EXTERNAL TABLE x (a INT DEFAULT 6) STORED AS CAYENNE LOCATION '{}'", new.display());
    plain.sql("CREATE TABLE taken AS SELECT 1").await.unwrap();
    plain.deregister_table("x").unwrap();
    assert_eq!(error_of(plain.sql(&other).await.unwrap_err()).stable_code(), "other-default");
    plain.sql(&text).await.unwrap();
}
