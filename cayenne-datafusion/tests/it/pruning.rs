//! Pruning by statistics does not change any result.

use crate::fixture::fixture;

/// Runs a predicate on a table of many files and on the same rows in memory, and compares the results.
async fn same_answers(columns: &str, values: &[&str], predicates: &[&str]) {
    let f = fixture().await;
    f.run(&format!("CREATE TABLE t ({columns})")).await;
    for value in values {
        f.run(&format!("INSERT INTO t VALUES ({value})")).await;
    }
    let rows = values.iter().map(|value| format!("({value})")).collect::<Vec<_>>().join(", ");
    let plain = datafusion::prelude::SessionContext::new();
    plain.sql(&format!("CREATE TABLE t ({columns})")).await.unwrap().collect().await.unwrap();
    plain.sql(&format!("INSERT INTO t VALUES {rows}")).await.unwrap().collect().await.unwrap();
    for predicate in predicates {
        let text = format!("SELECT count(*) FROM t WHERE {predicate}");
        let expected = plain.sql(&text).await.unwrap().collect().await.unwrap();
        let expected = datafusion::arrow::util::pretty::pretty_format_batches(&expected).unwrap().to_string();
        assert_eq!(f.plan(&text).await, expected, "{predicate}");
    }
}

/// Pitfalls 1 and 2.
#[tokio::test(flavor = "multi_thread")]
async fn floats_with_nan_and_both_zeros() {
    let values = ["0.0", "-0.0", "'NaN'", "'inf'", "'-inf'", "NULL", "1.5", "-2.25"];
    let values: Vec<String> = values.iter().map(|value| format!("{value}::DOUBLE")).collect();
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    let predicates = [
        "x > 1",
        "x >= 1.5",
        "x < 0",
        "x <= -2.25",
        "x > 1e300",
        "x IS NULL",
        "x IS NOT NULL",
        "x = 1.5",
        "x <> 1.5",
        "x BETWEEN -3 AND 3",
        "x IN (1.5, 7)",
        "x NOT IN (1.5, 7)",
        "isnan(x)",
        "NOT (x > 1)",
        "x = 0",
        "x > 0",
        "x >= 0",
        "x < 0",
        "x <= 0",
    ];
    same_answers("x DOUBLE", &values, &predicates).await;
}

/// Pitfall 4: three-valued logic of IN and NOT IN, with short and long lists.
#[tokio::test(flavor = "multi_thread")]
async fn in_lists_with_null() {
    let mut predicates = Vec::new();
    for length in 1..=10 {
        let list: Vec<String> = (1..=length).map(|number| number.to_string()).collect();
        for list in [list.join(", "), format!("NULL, {}", list.join(", "))] {
            predicates.push(format!("x IN ({list})"));
            predicates.push(format!("x NOT IN ({list})"));
            predicates.push(format!("(x IN ({list})) IS NULL"));
        }
    }
    let predicates: Vec<&str> = predicates.iter().map(String::as_str).collect();
    same_answers("x BIGINT", &["1", "5", "11", "NULL"], &predicates).await;
}

/// Pitfalls 54 and 55: units of dates and times.
#[tokio::test(flavor = "multi_thread")]
async fn dates_and_timestamps() {
    let values = ["DATE '1969-12-31'", "DATE '2024-02-29'", "NULL"];
    same_answers("x DATE", &values, &["x >= DATE '2024-01-01'", "x < DATE '1970-01-01'", "x = DATE '2024-02-29'"])
        .await;
    let values = ["TIMESTAMP '1969-12-31T23:59:59.999999999'", "TIMESTAMP '2024-02-29T12:00:00.123456789'"];
    let predicates = [
        "x >= TIMESTAMP '2024-02-29T12:00:00.123456789'",
        "x > TIMESTAMP '2024-02-29T12:00:00.123456789'",
        "x < TIMESTAMP '1970-01-01'",
    ];
    same_answers("x TIMESTAMP", &values, &predicates).await;
}

/// The bounds of long texts are truncated; a truncated bound is still a bound.
#[tokio::test(flavor = "multi_thread")]
async fn long_text_and_all_string_predicates() {
    let long = "é".repeat(100);
    let values = [format!("'{long}a'"), format!("'{long}z'"), "''".into(), "'abc'".into(), "NULL".into()];
    let values: Vec<&str> = values.iter().map(String::as_str).collect();
    let predicates = [
        format!("x = '{long}a'"),
        format!("x > '{long}a'"),
        format!("x <= '{long}z'"),
        "x LIKE 'é%'".into(),
        "x LIKE '%z'".into(),
        "x NOT LIKE 'é%'".into(),
        "x = ''".into(),
        "x > 'b'".into(),
        "starts_with(x, 'ab')".into(),
    ];
    let predicates: Vec<&str> = predicates.iter().map(String::as_str).collect();
    same_answers("x VARCHAR", &values, &predicates).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn decimals_and_expressions_that_are_not_monotone() {
    let values = ["1.25", "-99999999.99", "12345678.90", "NULL"];
    let predicates = ["x > 1", "x = 1.25", "x < -1", "x * x > 2", "abs(x) < 2", "x % 2 = 0", "-x > 0", "x + 1 > 2"];
    same_answers("x DECIMAL(12, 2)", &values, &predicates).await;
    same_answers("x BIGINT", &["7", "-7", "100"], &["x % 10 < 1", "x % 10 = 7", "x & 1 = 1", "-x < 0"]).await;
}

/// The usual timestamp for "still valid", and times that Vortex cannot represent.
#[tokio::test(flavor = "multi_thread")]
async fn times_at_the_end_of_the_calendar() {
    let values = [
        "arrow_cast('9999-12-31T23:59:59', 'Timestamp(Microsecond, None)')",
        "arrow_cast('2024-01-01T00:00:00', 'Timestamp(Microsecond, None)')",
        "NULL",
    ];
    let end = "arrow_cast('9999-12-31T23:59:59', 'Timestamp(Microsecond, None)')";
    let predicates =
        [format!("x = {end}"), format!("x < {end}"), format!("x >= {end}"), "x > TIMESTAMP '2024-06-01'".into()];
    let predicates: Vec<&str> = predicates.iter().map(String::as_str).collect();
    same_answers("x TIMESTAMP(6)", &values, &predicates).await;
    let values = ["DATE '9999-12-31'", "DATE '2024-01-01'", "NULL"];
    same_answers("x DATE", &values, &["x = DATE '9999-12-31'", "x < DATE '9999-12-31'", "x > DATE '2024-06-01'"]).await;
}
