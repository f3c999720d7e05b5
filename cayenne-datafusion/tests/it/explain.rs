//! Tests of what plans and their metrics show.

use crate::fixture::{fixture, fixture_of_files};

/// Returns the first value of a metric in a plan.
pub(crate) fn metric(plan: &str, name: &str) -> f64 {
    let at = plan.find(&format!("{name}=")).unwrap_or_else(|| panic!("{name} is not in {plan}"));
    let text = plan[at + name.len() + 1..].split([',', ']']).next().unwrap();
    let (number, thousands) = text.strip_suffix(" K").map_or((text, 1.0), |number| (number, 1_000.0));
    let number = number.trim_end_matches(|c: char| !c.is_ascii_digit());
    number.parse::<f64>().unwrap() * thousands
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_names_the_table_the_sequence_and_the_files_kept() {
    let f = fixture_of_files().await;
    f.run("CREATE TABLE t AS SELECT value AS id FROM generate_series(1, 1000)").await;
    for begin in [1_001, 2_001, 3_001] {
        f.run(&format!("INSERT INTO t SELECT value FROM generate_series({begin}, {})", begin + 999)).await;
    }
    let plan = f.plan("EXPLAIN SELECT id FROM t WHERE id BETWEEN 2100 AND 2200").await;
    assert!(plan.contains("table=t, sequence=4, files=1/4"), "{plan}");
    assert!(!plan.contains("FilterExec"), "the filter is not pushed into the scan: {plan}");
    let text = "EXPLAIN ANALYZE SELECT sum(id) FROM t WHERE id BETWEEN 2100 AND 2200";
    let cold = f.plan(text).await;
    let pruned = ["files_total", "files_pruned", "rows_pruned"].map(|name| metric(&cold, name).to_string());
    assert_eq!(pruned, ["4", "3", "3000"]);
    assert!(metric(&cold, "segment_cache_misses") > 0.0 && metric(&cold, "bytes_scanned") > 0.0, "{cold}");
    // The first read of a small file's footer reads its segments too; what is read twice after that stays in the cache.
    f.plan(text).await;
    f.plan(text).await;
    let warm = f.plan(text).await;
    assert!(metric(&warm, "segment_cache_misses") < 0.5 && metric(&warm, "bytes_scanned") < 0.5, "{warm}");
    assert!(metric(&warm, "segment_cache_hits") > 0.0, "{warm}");
}

#[tokio::test(flavor = "multi_thread")]
async fn exact_statistics_answer_without_a_scan() {
    let f = fixture_of_files().await;
    f.run("CREATE TABLE t AS SELECT value AS id, value::DOUBLE AS x FROM generate_series(1, 1000)").await;
    f.run("INSERT INTO t VALUES (5000, 2.5), (NULL, NULL)").await;
    let text = "SELECT count(*), count(id), min(id), max(id) FROM t";
    let plan = f.plan(&format!("EXPLAIN {text}")).await;
    assert!(plan.contains("PlaceholderRowExec") && !plan.contains("DataSourceExec"), "{plan}");
    assert_eq!(f.rows(text).await, ["1002,1001,1,5000"]);
    let filtered = f.plan("EXPLAIN SELECT count(*) FROM t WHERE id > 3").await;
    assert!(filtered.contains("DataSourceExec"), "a filtered count is not a statistic: {filtered}");
    assert_eq!(f.rows("SELECT count(*) FROM t WHERE id > 3").await, ["998"]);
    // Pitfall 1: NaN is the largest number, and statistics do not say whether there is one.
    f.run("INSERT INTO t VALUES (6000, 'NaN'::DOUBLE)").await;
    assert_eq!(f.rows("SELECT max(x) FROM t").await, ["NaN"]);
    assert_eq!(f.rows("SELECT min(x) FROM t").await, ["1.0"]);
}

/// A join passes the range of its build side to the scan of its probe side, which then skips whole files.
#[tokio::test(flavor = "multi_thread")]
async fn dynamic_filters_prune_files() {
    let f = fixture_of_files().await;
    f.run("CREATE TABLE facts AS SELECT value AS id FROM generate_series(1, 1000)").await;
    for begin in [100_001, 200_001, 300_001] {
        f.run(&format!("INSERT INTO facts SELECT value FROM generate_series({begin}, {})", begin + 999)).await;
    }
    f.run("CREATE TABLE keys AS VALUES (200500), (200600)").await;
    let text = "SELECT count(*) FROM facts JOIN (SELECT column1 AS k FROM keys WHERE column1 % 2 = 0) ON id = k";
    assert_eq!(f.rows(text).await, ["2"]);
    let plan = f.plan(&format!("EXPLAIN ANALYZE {text}")).await;
    let pruned = plan.lines().find(|line| line.contains("table=facts")).unwrap();
    assert_eq!(metric(pruned, "dynamic_filter_rows_checked").to_string(), "1000", "only one file is read: {pruned}");
    assert_eq!(metric(pruned, "dynamic_filter_rows_dropped").to_string(), "998", "{pruned}");
}

/// Our rules temporarily turn keys that treat nulls as equal into conditions.
#[tokio::test(flavor = "multi_thread")]
async fn keys_of_which_nulls_are_equal_are_keys_of_hash_joins() {
    let f = fixture().await;
    f.run("CREATE TABLE t AS SELECT value AS id, value % 3 AS g FROM generate_series(1, 100)").await;
    for query in [
        "SELECT count(*) FROM t AS a JOIN t AS b ON a.id IS NOT DISTINCT FROM b.id",
        "SELECT count(*) FROM t AS a JOIN t AS b ON a.id IS NOT DISTINCT FROM b.id JOIN t AS c ON c.id = a.id WHERE a.g = b.g",
        "SELECT id FROM t AS a WHERE id > (SELECT avg(id) FROM t AS b WHERE b.g IS NOT DISTINCT FROM a.g)",
    ] {
        let plan = f.plan(&format!("EXPLAIN {query}")).await;
        assert!(plan.contains("HashJoinExec") && !plan.contains("NestedLoopJoinExec"), "{query}: {plan}");
    }
}
