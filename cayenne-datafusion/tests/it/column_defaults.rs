//! Defaults and NOT NULL of columns, for every way to write rows.

use cayenne_format::{TableName, TableOptions};
use cayenne_table::ImportOptions;
use datafusion::arrow::datatypes::{DataType, Field, Schema};

use crate::fixture::{fixture, open};

#[tokio::test(flavor = "multi_thread")]
async fn defaults_are_there_after_a_reopen_an_export_and_an_import() {
    let mut f = fixture().await;
    f.run("CREATE TABLE t (id BIGINT, n INT DEFAULT 7, at TIMESTAMP DEFAULT now())").await;
    let name = |text: &str| TableName::try_from(text).unwrap();
    let table = f.database.table(&name("t")).await.unwrap().unwrap();
    let kept = &table.options().column_defaults;
    assert_eq!(
        kept.iter().map(|(column, text)| format!("{column}: {text}")).collect::<Vec<_>>(),
        ["at: now()", "n: 7"]
    );
    let outside = tempfile::tempdir().unwrap();
    let slice = outside.path().join("slice");
    table.export(&slice).await.unwrap();
    let options = ImportOptions { name: Some(name("u")), replace: false };
    f.database.import(&slice, options).await.unwrap();
    f.database.close().await.unwrap();
    let (database, ctx) = open(f.folder.path()).await;
    (f.database, f.ctx) = (database, ctx);
    for table in ["t", "u"] {
        f.run(&format!("INSERT INTO {table} (id) VALUES (1)")).await;
        assert_eq!(f.rows(&format!("SELECT id, n, at IS NULL FROM {table}")).await, ["1,7,false"]);
    }
}

/// A plain session stores and inserts defaults too.
#[tokio::test(flavor = "multi_thread")]
async fn a_plain_datafusion_session_knows_defaults() {
    let f = fixture().await;
    let run = async |text: &str| f.ctx.sql(text).await.unwrap().collect().await.unwrap();
    run("CREATE TABLE t (id BIGINT, n INT DEFAULT 1 + 1)").await;
    run("INSERT INTO t (id) VALUES (1)").await;
    assert_eq!(f.rows("SELECT * FROM t").await, ["1,2"]);
    f.ctx.sql("CREATE TABLE x (n INT DEFAULT 'abc')").await.unwrap_err();
    assert_eq!(f.database.tables().await.unwrap().len(), 1);
}

/// A default keeps the meaning it had when the table was created, whatever the settings of the inserting session.
#[tokio::test(flavor = "multi_thread")]
async fn a_default_means_what_it_means_where_the_table_is_made() {
    const NUMBER: &str = "1234567890123456789.0123456789";
    let f = fixture().await;
    let create = |table: &str| {
        format!("CREATE TABLE {table} (id INT, d DECIMAL(38, 10) DEFAULT {NUMBER}, f DOUBLE DEFAULT 1.5)")
    };
    f.run("SET datafusion.sql_parser.parse_float_as_decimal = true").await;
    f.run(&create("exact")).await;
    f.run("SET datafusion.sql_parser.parse_float_as_decimal = false").await;
    f.run("INSERT INTO exact (id) VALUES (1)").await;
    assert_eq!(f.rows("SELECT d, f FROM exact").await, [format!("{NUMBER},1.5")]);
    // The DataFusion session parses the number as a float, as in an INSERT.
    f.run(&create("float")).await;
    f.run(&format!("INSERT INTO float VALUES (1, {NUMBER}, 1.5)")).await;
    f.run("SET datafusion.sql_parser.parse_float_as_decimal = true").await;
    f.run("INSERT INTO float (id) VALUES (2)").await;
    assert_eq!(f.rows("SELECT count(*), count(DISTINCT d), min(f), max(f) FROM float").await, ["2,1,1.5,1.5"]);
}

/// A text that cannot be parsed as SQL, as another program may have stored it.
#[tokio::test(flavor = "multi_thread")]
async fn a_default_that_cannot_be_read_fails_only_where_it_is_used() {
    let f = fixture().await;
    let mut options = TableOptions::default();
    options.column_defaults.insert("n".to_owned(), "nonsense(".to_owned());
    let columns = Schema::new(vec![Field::new("id", DataType::Int64, true), Field::new("n", DataType::Int64, true)]);
    f.database.create_table(&TableName::try_from("t").unwrap(), &columns, options).await.unwrap();
    f.run("INSERT INTO t VALUES (1, 1)").await;
    for text in ["INSERT INTO t (id) VALUES (2)", "INSERT INTO t VALUES (2, DEFAULT)", "UPDATE t SET n = DEFAULT"] {
        let error = f.fails(text).await;
        assert_eq!(error.stable_code(), "invalid-default", "{text}");
        assert!(error.facts().any(|fact| fact == ("column", "n")), "{text}: {error:?}");
    }
    assert_eq!(f.rows("SELECT * FROM t").await, ["1,1"]);
    let mut options = TableOptions::default();
    options.column_defaults.insert("other".to_owned(), "1".to_owned());
    let error = f.database.create_table(&TableName::try_from("u").unwrap(), &columns, options).await.unwrap_err();
    assert_eq!(error.stable_code(), "unknown-column");
}

const NULLS: &[&str] = &[
    "INSERT INTO t VALUES (5, NULL)",
    "INSERT INTO t VALUES (5, 5), (6, NULL)",
    "INSERT INTO t (id) VALUES (5)",
    "INSERT INTO t SELECT 5, CASE WHEN false THEN 1 END",
    "INSERT INTO t (id) SELECT value FROM generate_series(5, 5000)",
    "INSERT OVERWRITE t VALUES (5, NULL)",
    "REPLACE INTO t VALUES (1, NULL)",
    "UPDATE t SET n = NULL",
    "UPDATE t SET n = nullif(n, 10)",
    "UPDATE t SET n = (SELECT max(n) FROM t WHERE id = 99)",
    "INSERT INTO t VALUES (1, 5) ON CONFLICT (id) DO UPDATE SET n = NULL",
    "INSERT INTO t VALUES (5, NULL) ON CONFLICT DO NOTHING",
    "MERGE INTO t USING (VALUES (5)) AS v(id) ON t.id = v.id WHEN NOT MATCHED THEN INSERT (id) VALUES (v.id)",
    "MERGE INTO t USING (VALUES (1)) AS v(id) ON t.id = v.id WHEN MATCHED THEN UPDATE SET n = NULL",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_null_is_refused_by_table_and_column_whatever_the_way_in() {
    let f = fixture().await;
    f.run("CREATE TABLE t (id BIGINT PRIMARY KEY, n INT NOT NULL)").await;
    f.run("INSERT INTO t VALUES (1, 10), (2, 20)").await;
    for text in NULLS {
        let error = f.fails(text).await;
        assert_eq!(error.stable_code(), "null-in-column", "{text}: {error:?}");
        let facts: Vec<_> = error.facts().collect();
        assert!(facts.contains(&("column", "n")) && facts.contains(&("table", "t")), "{text}: {error:?}");
        assert_eq!(f.rows("SELECT * FROM t ORDER BY id").await, ["1,10", "2,20"], "{text}");
    }
    // Without rows there is no null to reject.
    f.run("INSERT INTO t (id) SELECT 5 WHERE false").await;
}
