//! Queries that are planned once.

use std::collections::BTreeSet;

use arrow_array::RecordBatch;
use cayenne_datafusion::{error_of, prepare};
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::physical_plan::common::collect;
use datafusion::scalar::ScalarValue;

use crate::fixture::{Fixture, fixture};

async fn keyed() -> Fixture {
    let f = fixture().await;
    f.run("CREATE TABLE t (id BIGINT, name VARCHAR, n INT, PRIMARY KEY (id, name))").await;
    f.run("INSERT INTO t SELECT value / 2, concat('n', value % 2), value FROM range(0, 100)").await;
    f.run("CREATE TABLE one (id BIGINT PRIMARY KEY, n INT)").await;
    f.run("INSERT INTO one SELECT value, value * 2 FROM range(0, 100)").await;
    f
}

async fn answer(f: &Fixture, text: &str, parameters: &[ScalarValue]) -> BTreeSet<String> {
    let rows = prepare(&f.ctx, text).await.unwrap().execute(parameters).await.unwrap();
    lines(&collect(rows).await.unwrap())
}

fn lines(batches: &[RecordBatch]) -> BTreeSet<String> {
    pretty_format_batches(batches).unwrap().to_string().lines().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prepared_query_answers_as_one_with_its_values_written_out() {
    let f = keyed().await;
    let whole = |value: i64| ScalarValue::from(value);
    let none: &[ScalarValue] = &[];
    for (text, parameters, written_out) in [
        ("SELECT * FROM one WHERE id = $1", &[whole(7)][..], "SELECT * FROM one WHERE id = 7"),
        ("SELECT * FROM one WHERE $1 = id", &[whole(700)], "SELECT * FROM one WHERE id = 700"),
        ("SELECT n, id FROM one WHERE id = $1", &[7.0_f64.into()], "SELECT n, id FROM one WHERE id = 7"),
        ("SELECT n FROM one WHERE id = $1", &[7.5_f64.into()], "SELECT n FROM one WHERE id = 7.5"),
        ("SELECT n FROM one WHERE id = $1", &[ScalarValue::Int64(None)], "SELECT n FROM one WHERE id = NULL"),
        ("SELECT n FROM one WHERE id IN ($1, $2, 9)", &[whole(7), whole(8)], "SELECT n FROM one WHERE id IN (7, 8, 9)"),
        ("SELECT n + $2 AS m FROM one WHERE id = $1", &[whole(7), whole(1)], "SELECT n + 1 AS m FROM one WHERE id = 7"),
        ("SELECT n AS id FROM one WHERE id = $1", &[whole(7)], "SELECT n AS id FROM one WHERE id = 7"),
        (
            "SELECT n FROM one WHERE id = $1 AND n = $2",
            &[whole(7), whole(1)],
            "SELECT n FROM one WHERE id = 7 AND n = 1",
        ),
        ("SELECT n FROM one WHERE id < $1", &[whole(3)], "SELECT n FROM one WHERE id < 3"),
        ("SELECT count(*) FROM one WHERE id = $1", &[whole(3)], "SELECT count(*) FROM one WHERE id = 3"),
        (
            "SELECT n FROM t WHERE id = $1 AND name = $2",
            &[whole(3), "n1".into()],
            "SELECT n FROM t WHERE id = 3 AND name = 'n1'",
        ),
        (
            "SELECT a.n FROM t a WHERE a.name = $1 AND a.id = $2",
            &["n1".into(), whole(3)],
            "SELECT n FROM t WHERE id = 3 AND name = 'n1'",
        ),
        ("SELECT n FROM t WHERE id = $1", &[whole(3)], "SELECT n FROM t WHERE id = 3"),
        ("SELECT n FROM one WHERE id = 3", none, "SELECT n FROM one WHERE id = 3"),
    ] {
        let expected = lines(&f.run(written_out).await);
        let found = answer(&f, text, parameters).await;
        assert_eq!(found, expected, "{text} with {parameters:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prepared_query_sees_what_was_committed_since() {
    let f = keyed().await;
    let by_id = prepare(&f.ctx, "SELECT n FROM one WHERE id = $1").await.unwrap();
    for n in ["14", "15", "16"] {
        f.run(&format!("UPDATE one SET n = {n} WHERE id = 7")).await;
        let rows = collect(by_id.execute(&[7_i64.into()]).await.unwrap()).await.unwrap();
        assert!(lines(&rows).contains(&format!("| {n} |")), "{rows:?}");
    }
    f.run("DROP TABLE one").await;
    f.run("CREATE TABLE one (id BIGINT PRIMARY KEY, n INT)").await;
    let error = error_of(by_id.execute(&[7_i64.into()]).await.err().unwrap());
    assert_eq!(error.stable_code(), "table-dropped");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_query_or_lacks_a_value_is_refused() {
    let f = keyed().await;
    for text in ["DELETE FROM one WHERE id = $1", "SELECT 1; SELECT 2", "", "CREATE TABLE x (id INT)"] {
        assert_eq!(error_of(prepare(&f.ctx, text).await.unwrap_err()).stable_code(), "sql-syntax", "{text}");
    }
    let by_id = prepare(&f.ctx, "SELECT n FROM one WHERE id = $2").await.unwrap();
    assert!(by_id.execute(&[7_i64.into()]).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_explanation_tells_of_the_plan_that_runs() {
    let f = keyed().await;
    for explain in ["EXPLAIN", "EXPLAIN ANALYZE"] {
        let plan = f.plan(&format!("{explain} SELECT n FROM one WHERE id = 7")).await;
        assert!(plan.contains("CayenneLookup") && !plan.contains("FilterExec"), "{plan}");
    }
    let plan = f.plan("EXPLAIN SELECT n FROM one WHERE id = 7 AND n = 3").await;
    assert!(plan.contains("FilterExec"), "{plan}");
}
