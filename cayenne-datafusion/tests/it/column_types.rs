//! Columns have their declared types when they are read, also after the database is reopened.

use std::sync::Arc;

use datafusion::catalog::{CatalogProvider, MemoryCatalogProvider, MemorySchemaProvider, SchemaProvider};
use datafusion::prelude::ParquetReadOptions;

use crate::fixture::{fixture, fixture_of_files, open};

#[tokio::test(flavor = "multi_thread")]
async fn values_of_all_sql_types_survive_a_reopen() {
    let mut f = fixture().await;
    f.run(
        "CREATE TABLE t AS SELECT 1::TINYINT AS i8, 2::SMALLINT AS i16, 3::INT AS i32, 4::BIGINT AS i64, \
         5::TINYINT UNSIGNED AS u8, 18446744073709551615::BIGINT UNSIGNED AS u64, 1.5::REAL AS f32, 2.5::DOUBLE AS f64, \
         true AS b, 12.34::DECIMAL(10, 2) AS d, 'text' AS s, DATE '2024-02-29' AS date, TIME '23:59:59.123456789' AS time, \
         TIMESTAMP '2024-02-29T12:00:00.123456789' AS ts, TIMESTAMP '2024-02-29T12:00:00+05:30' AS tz, \
         arrow_cast('x', 'LargeUtf8') AS ls, arrow_cast('y', 'Dictionary(Int32, Utf8)') AS dict, X'00FF' AS bin, \
         [1, NULL, 3] AS list, {'a': 1, 'b': 'two'} AS struct, NULL AS nothing",
    )
    .await;
    let before = (f.rows("SELECT * FROM t").await, f.rows("DESCRIBE t").await);
    assert_eq!(before.0.len(), 1);
    f.database.close().await.unwrap();
    (f.database, f.ctx) = open(f.folder.path()).await;
    assert_eq!((f.rows("SELECT * FROM t").await, f.rows("DESCRIBE t").await), before);
    assert_eq!(f.rows("SELECT arrow_typeof(tz), arrow_typeof(ls) FROM t").await.len(), 1);
    assert_eq!(f.rows("SELECT count(*) FROM t WHERE ts = TIMESTAMP '2024-02-29T12:00:00.123456789'").await, ["1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_type_that_cannot_be_stored_is_refused_with_the_way_out() {
    let f = fixture().await;
    let error = f.fails("CREATE TABLE t AS SELECT INTERVAL '1 day' AS i").await;
    assert_eq!(error.stable_code(), "unsupported-type", "{error:?}");
    assert!(error.way_to_mend().unwrap().contains("cayenne_unsupported_type_action"));
    assert!(f.database.tables().await.unwrap().is_empty());
}

/// For each storable type with enough values: an expression with one value for each number from 0 to 2,999.
const VALUES_OF_TYPES: [(&str, &str); 31] = [
    ("i16", "v::SMALLINT"),
    ("u64", "arrow_cast(v, 'UInt64')"),
    ("f64", "v / 2.0"),
    ("d32", "arrow_cast(v, 'Decimal32(7, 1)')"),
    ("d64", "arrow_cast(v, 'Decimal64(12, 2)')"),
    ("d128", "v::DECIMAL(20, 2)"),
    ("d256", "arrow_cast(v, 'Decimal256(50, 2)')"),
    ("utf8", "arrow_cast('x' || v, 'Utf8')"),
    ("large_utf8", "arrow_cast('x' || v, 'LargeUtf8')"),
    ("utf8_view", "arrow_cast('x' || v, 'Utf8View')"),
    ("binary", "arrow_cast('x' || v, 'Binary')"),
    ("large_binary", "arrow_cast('x' || v, 'LargeBinary')"),
    ("binary_view", "arrow_cast('x' || v, 'BinaryView')"),
    ("date32", "DATE '2020-01-01' + v::INT"),
    ("date64", "arrow_cast(DATE '2020-01-01' + v::INT, 'Date64')"),
    ("time32", "arrow_cast(v::INT, 'Time32(Second)')"),
    ("time64", "arrow_cast(v, 'Time64(Nanosecond)')"),
    ("ts_s", "arrow_cast(v, 'Timestamp(Second, None)')"),
    ("ts_ns", "arrow_cast(v, 'Timestamp(Nanosecond, Some(\"UTC\"))')"),
    ("dictionary", "arrow_cast('x' || v, 'Dictionary(Int32, Utf8)')"),
    ("nothing", "NULL"),
    ("list", "[v, NULL]"),
    ("large_list", "arrow_cast([v], 'LargeList(Int64)')"),
    ("fixed_size_list", "arrow_cast([v, 1], 'FixedSizeList(2, Int64)')"),
    ("list_view", "arrow_cast([v], 'ListView(Int64)')"),
    ("list_of_list", "[[v], [1]]"),
    ("struct", "named_struct('a', v, 'b', 'x')"),
    ("struct_of_list", "named_struct('a', [v])"),
    ("map", "map(['k'], [v])"),
    ("list_of_map", "[map(['k'], [v])]"),
    ("struct_of_map", "named_struct('m', map(['k'], [v]))"),
];

#[tokio::test(flavor = "multi_thread")]
async fn values_of_every_type_are_joined_grouped_and_ordered() {
    let f = fixture_of_files().await;
    let mut wrong = Vec::new();
    for (name, value) in VALUES_OF_TYPES {
        f.run(&format!(
            "CREATE TABLE {name} AS SELECT v, CASE WHEN v % 7 = 6 THEN NULL ELSE {value} END AS x \
             FROM (SELECT value AS v FROM generate_series(0, 2999))"
        ))
        .await;
        for (query, rows) in [
            ("SELECT count(*) FROM {t} a JOIN (SELECT x FROM {t} WHERE v < 3) b ON a.x = b.x", 3),
            ("SELECT count(*) FROM {t} a JOIN (SELECT v, x FROM {t} WHERE v < 3) b ON a.x = b.x AND a.v = b.v", 3),
            ("SELECT count(*) FROM {t} WHERE x IN (SELECT x FROM {t} WHERE v < 3)", 3),
            ("SELECT count(*) FROM (SELECT x FROM {t} GROUP BY x)", 2_573),
        ] {
            let query = query.replace("{t}", name);
            let rows = format!("{}", if name == "nothing" { usize::from(rows > 3) } else { rows });
            match f.try_rows(&query).await {
                Ok(found) if found == [rows.clone()] => {}
                found => wrong.push(format!("{name}: {query}\n  {found:?}, not {rows}")),
            }
        }
        let query = format!("SELECT v FROM {name} ORDER BY x, v LIMIT 3");
        if let Err(error) = f.try_run(&query).await {
            wrong.push(format!("{name}: {query}\n  {error:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Without our rule, the filter of the join would be pushed down to the Parquet file.
#[tokio::test(flavor = "multi_thread")]
async fn maps_of_a_table_and_of_a_parquet_file_are_joined() {
    let f = fixture_of_files().await;
    f.run("CREATE TABLE t AS SELECT value AS v, map(['k'], [value]) AS x FROM generate_series(0, 2999)").await;
    let path = f.folder.path().join("x.parquet");
    let path = path.to_str().unwrap();
    f.run(&format!("COPY t TO '{path}'")).await;
    let rows = f.ctx.read_parquet(path, ParquetReadOptions::default()).await.unwrap();
    let (files, schema) = (MemoryCatalogProvider::new(), Arc::new(MemorySchemaProvider::new()));
    schema.register_table("p".to_owned(), rows.into_view()).unwrap();
    files.register_schema("s", schema).unwrap();
    f.ctx.register_catalog("files", Arc::new(files));
    assert_eq!(
        f.rows("SELECT count(*) FROM (SELECT * FROM t WHERE v < 3) t JOIN files.s.p AS p ON t.x = p.x").await,
        ["3"]
    );
    assert_eq!(f.rows("SELECT count(*) FROM (SELECT * FROM files.s.p WHERE v < 3) p JOIN t ON t.x = p.x").await, ["3"]);
}
