//! Dynamic filters are evaluated on the rows of a file, and do not change any result.

use crate::explain::metric;
use crate::fixture::{Fixture, fixture_of_files};

/// The columns to join on: one of each kind of value, with nulls, NaN and zeros of both signs.
const KEYS: [&str; 8] = ["k", "sparse", "nullable", "text", "amount", "x", "day", "id"];

/// Every kind of join, an aggregation and a top-k above one, and lists that hold NULL.
const QUERIES: [&str; 13] = [
    "SELECT p.id, b.tag FROM probe p JOIN build b ON p.KEY = b.KEY",
    "SELECT p.id, b.tag FROM build b LEFT JOIN probe p ON p.KEY = b.KEY",
    "SELECT p.id, b.tag FROM build b RIGHT JOIN probe p ON p.KEY = b.KEY WHERE p.id % 100 < 3",
    "SELECT p.id, b.tag FROM build b FULL JOIN probe p ON p.KEY = b.KEY AND p.id % 100 < 3",
    "SELECT p.id FROM probe p WHERE p.KEY IN (SELECT KEY FROM build)",
    "SELECT count(*), sum(p.id) FROM probe p WHERE p.KEY NOT IN (SELECT KEY FROM build)",
    "SELECT count(*), sum(p.id) FROM probe p WHERE NOT EXISTS (SELECT 1 FROM build b WHERE b.KEY = p.KEY)",
    "SELECT b.tag FROM build b WHERE EXISTS (SELECT 1 FROM probe p WHERE b.KEY = p.KEY AND p.id > 1000)",
    "SELECT p.id, b.tag FROM probe p JOIN build b ON p.KEY IS NOT DISTINCT FROM b.KEY",
    "SELECT p.id, b.tag FROM probe p JOIN build b ON p.KEY = b.KEY AND p.k = b.k",
    "SELECT t.n, b.tag FROM build b JOIN (SELECT KEY AS g, count(*) AS n FROM probe GROUP BY KEY) t ON t.g = b.KEY",
    "SELECT id, k FROM probe ORDER BY KEY DESC NULLS LAST, id LIMIT 7",
    "SELECT p.id, b.tag FROM probe p JOIN build b ON p.KEY = b.KEY WHERE b.tag < 0",
];

async fn tables() -> Fixture {
    let f = fixture_of_files().await;
    let columns = "value AS id, value % 997 AS k, value * 1000 AS sparse, \
         CASE WHEN value % 11 = 0 THEN NULL ELSE value % 1009 END AS nullable, \
         CASE WHEN value % 17 = 0 THEN NULL ELSE 'key ' || (value % 503) END AS text, \
         (value % 701)::DECIMAL(12, 2) AS amount, \
         CASE value % 13 WHEN 0 THEN 'NaN'::DOUBLE WHEN 1 THEN -0.0 WHEN 2 THEN NULL ELSE (value % 91)::DOUBLE END AS x, \
         DATE '1990-01-01' + (value % 3000)::INT AS day";
    f.run(&format!("CREATE TABLE probe AS SELECT {columns} FROM generate_series(1, 20000)")).await;
    f.run(&format!("INSERT INTO probe SELECT {columns} FROM generate_series(20001, 30000)")).await;
    let few = "FROM generate_series(1, 30000) WHERE value % 1543 IN (7, 8)";
    f.run(&format!("CREATE TABLE build AS SELECT {columns}, value % 10 AS tag {few}")).await;
    f.run("INSERT INTO build VALUES (NULL, NULL, NULL, NULL, NULL, NULL, 0.0, NULL, 77)").await;
    f
}

async fn set(f: &Fixture, option: &str, value: impl std::fmt::Display) {
    f.run(&format!("SET datafusion.optimizer.{option} = {value}")).await;
}

async fn sorted(f: &Fixture, text: &str) -> Vec<String> {
    let mut rows = f.rows(text).await;
    rows.sort();
    rows
}

/// Invariant: a query returns the same result with dynamic filters and without, whatever the join strategy.
#[tokio::test(flavor = "multi_thread")]
async fn answers_are_the_same_without_them() {
    let f = tables().await;
    // As lists or as lookups in the hash table; with one hash table for all partitions or with one for each.
    let ways = [("1048576", "1048576"), ("0", "1048576"), ("1048576", "0"), ("0", "0")];
    for query in QUERIES {
        for key in KEYS {
            let text = query.replace("KEY", key);
            set(&f, "enable_dynamic_filter_pushdown", false).await;
            let expected = sorted(&f, &text).await;
            set(&f, "enable_dynamic_filter_pushdown", true).await;
            for (list_bytes, collected_bytes) in ways {
                set(&f, "hash_join_inlist_pushdown_max_size", list_bytes).await;
                set(&f, "hash_join_single_partition_threshold", collected_bytes).await;
                set(&f, "hash_join_single_partition_threshold_rows", collected_bytes).await;
                assert_eq!(sorted(&f, &text).await, expected, "{text} with {list_bytes} and {collected_bytes}");
            }
        }
    }
}

/// Returns a metric of the scan of `table` in an executed plan.
async fn of_scan(f: &Fixture, table: &str, query: &str, name: &str) -> f64 {
    let plan = f.plan(&format!("EXPLAIN ANALYZE {query}")).await;
    let line = plan.lines().find(|line| line.contains(&format!("table={table},")));
    metric(line.unwrap_or_else(|| panic!("no scan of {table} in {plan}")), name)
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_dropped_before_the_join() {
    let f = tables().await;
    let query = "SELECT sum(p.sparse) FROM probe p JOIN build b ON p.nullable = b.nullable WHERE b.tag = 1";
    let dropped = of_scan(&f, "probe", query, "dynamic_filter_rows_dropped").await;
    let given = of_scan(&f, "probe", query, "output_rows").await;
    assert!(dropped > 29_000.0 && given < 1_000.0, "{dropped} rows were dropped and {given} given");
}

/// Invariant: a zone that cannot contain a key of the build side is not decoded, even if its file contains some.
#[tokio::test(flavor = "multi_thread")]
async fn zones_without_a_key_are_not_decoded() {
    let f = fixture_of_files().await;
    f.run("CREATE TABLE sorted AS SELECT value AS id, value % 7 AS v FROM generate_series(1, 100000)").await;
    f.run("CREATE TABLE keys AS VALUES (100), (99900)").await;
    let query = "SELECT sum(v) FROM sorted JOIN keys ON id = column1";
    assert_eq!(f.rows(query).await, [((100 % 7) + (99_900 % 7)).to_string()]);
    let checked = of_scan(&f, "sorted", query, "dynamic_filter_rows_checked").await;
    // A split is evaluated as a whole if a fifth of it is left, which makes more than two zones of 8,192 rows.
    assert!((1.0..60_000.0).contains(&checked), "{checked} of 100,000 rows were looked at for two keys");
}

/// Twelve files of a hundred rows. `a` falls and `b` rises from file to file; in the first file `a` is null; `y` may be
/// zero.
async fn many_files() -> Fixture {
    let f = fixture_of_files().await;
    f.run("CREATE TABLE many (a BIGINT, b BIGINT, y BIGINT)").await;
    for file in 0..12_i64 {
        let a = if file == 0 { "NULL::BIGINT".to_owned() } else { format!("{} - value", 100_000 - file * 1_000) };
        let rows = format!("SELECT {a}, value + {}, value % 5 FROM generate_series(0, 99)", file * 1_000);
        f.run(&format!("INSERT INTO many {rows}")).await;
    }
    f
}

/// `DataFusion` makes a filter for `min(a)` that ignores which rows `max(b + 1)` needs.
#[tokio::test(flavor = "multi_thread")]
async fn the_filter_of_an_aggregation_takes_no_row_from_another_column() {
    let f = many_files().await;
    for (text, answer) in [
        ("SELECT min(b), max(b + 1) FROM many WHERE y >= 0", "0,11100"),
        ("SELECT max(a), min(b + a) FROM many WHERE y >= 0", "99000,100000"),
        ("SELECT min(a), max(b) FROM many WHERE y >= 0", "88901,11099"),
        ("SELECT min(a) FILTER (WHERE y = 4), max(b) FROM many WHERE y >= 0", "88901,11099"),
    ] {
        assert_eq!(f.rows(text).await, [answer], "{text}");
    }
    set(&f, "enable_dynamic_filter_pushdown", true).await;
    let checked =
        of_scan(&f, "many", "SELECT min(b), max(b + 1) FROM many WHERE y >= 0", "dynamic_filter_rows_checked");
    assert_eq!(checked.await.to_string(), "0", "where aggregations make filters too, only those of joins reach rows");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_top_k_drops_rows_that_come_too_late() {
    let f = many_files().await;
    // Every file has rows with a `y` of zero, so no file is pruned.
    let query = "SELECT y, b FROM many ORDER BY y, b LIMIT 3";
    assert_eq!(f.rows(query).await, ["0,0", "0,5", "0,10"]);
    let given = of_scan(&f, "many", query, "output_rows").await;
    assert!(given < 600.0, "{given} of 1,200 rows reach the top-k, although the first file has all it wants");
}

/// Invariant: no query fails because a key cannot be computed for a row that another filter excludes.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_fails_for_rows_that_are_ruled_out_fails_no_query() {
    let f = many_files().await;
    f.run("CREATE TABLE quotients AS VALUES (25, 1), (50, 2)").await;
    for text in [
        "SELECT b, 100 / y AS q FROM many WHERE y <> 0 ORDER BY 100 / y, b LIMIT 3",
        "SELECT count(*), sum(b) FROM many JOIN quotients ON column1 = 100 / y WHERE y <> 0",
        "SELECT count(*), sum(b) FROM many JOIN quotients ON column1 = 100 / y AND column2 = y / 2 WHERE y <> 0",
    ] {
        let with = f.rows(text).await;
        set(&f, "enable_join_dynamic_filter_pushdown", false).await;
        set(&f, "enable_topk_dynamic_filter_pushdown", false).await;
        assert_eq!(with, f.rows(text).await, "{text}");
        set(&f, "enable_join_dynamic_filter_pushdown", true).await;
        set(&f, "enable_topk_dynamic_filter_pushdown", true).await;
    }
    let error = f.fails("SELECT b FROM many ORDER BY 100 / y LIMIT 3").await;
    let told = format!("{error:?}").to_lowercase();
    assert!(told.contains("divide by zero") || told.contains("dividebyzero"), "a failure that counts is told: {told}");
}
