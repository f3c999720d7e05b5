//! Values that are stored as text, because their type cannot be stored, become the same text however they are written.

use cayenne_datafusion::{WriteTarget, write_plan};
use cayenne_format::{InlineOptions, TableOptions, UnsupportedTypeAction};
use cayenne_table::DatabaseSettings;
use datafusion::physical_plan::collect;
use proptest::prelude::*;
use proptest::test_runner::Config;

use crate::fixture::{Fixture, fixture_with};

async fn fixture_of_texts(inline: InlineOptions) -> Fixture {
    let unsupported_type_action = UnsupportedTypeAction::String;
    let table_options = TableOptions { inline, unsupported_type_action, ..TableOptions::default() };
    fixture_with(DatabaseSettings { table_options, ..DatabaseSettings::default() }).await
}

fn any_value() -> impl Strategy<Value = String> {
    let interval = (-30..30_i32, -40..40_i32, -100_000_000_000..100_000_000_000_i64);
    prop_oneof![
        interval
            .prop_map(|(months, days, nanos)| format!("INTERVAL '{months} months {days} days {nanos} nanoseconds'")),
        Just("INTERVAL '0 days'".to_owned()),
        Just("NULL".to_owned()),
    ]
}

/// Writes values to a table in every possible way, and returns what each way has stored.
async fn stored_on_every_way(f: &Fixture, values: &[String], data_type: &str) -> Vec<(&'static str, Vec<String>)> {
    let rows: Vec<_> =
        values.iter().enumerate().map(|(id, value)| format!("({id}, arrow_cast({value}, '{data_type}'))")).collect();
    let rows = format!("VALUES {}", rows.join(", "));
    let query = format!("SELECT id, x FROM ({rows}) AS v(id, x)");
    f.run(&format!("CREATE TABLE made AS {query}")).await;
    let mut ways = vec!["made"];
    for way in [
        "inserted",
        "replaced",
        "overwritten",
        "merged",
        "merge_updated",
        "updated",
        "upserted",
        "loaded",
        "of_values",
        "prepared",
    ] {
        f.run(&format!("CREATE TABLE {way} (id BIGINT PRIMARY KEY, x INTERVAL)")).await;
        ways.push(way);
    }
    for way in ["merge_updated", "updated", "upserted"] {
        f.run(&format!("INSERT INTO {way} SELECT id, NULL FROM made")).await;
    }
    f.run(&format!("INSERT INTO inserted {query}")).await;
    f.run(&format!("REPLACE INTO replaced {query}")).await;
    f.run(&format!("INSERT OVERWRITE overwritten {query}")).await;
    f.run(&format!(
        "MERGE INTO merged t USING ({query}) s ON t.id = s.id WHEN NOT MATCHED THEN INSERT (id, x) VALUES (s.id, s.x)"
    ))
    .await;
    f.run(&format!("MERGE INTO merge_updated t USING ({query}) s ON t.id = s.id WHEN MATCHED THEN UPDATE SET x = s.x"))
        .await;
    f.run(&format!("INSERT INTO upserted {query} ON CONFLICT (id) DO UPDATE SET x = excluded.x")).await;
    for (id, value) in values.iter().enumerate() {
        f.run(&format!("UPDATE updated SET x = arrow_cast({value}, '{data_type}') WHERE id = {id}")).await;
    }
    let loaded = f.database.table(&"loaded".try_into().unwrap()).await.unwrap().unwrap();
    let plan = write_plan(f.ctx.sql(&query).await.unwrap(), WriteTarget::Append(loaded)).await.unwrap();
    collect(plan, f.ctx.task_ctx()).await.unwrap();
    f.run(&format!("INSERT INTO of_values {rows}")).await;
    f.run(&format!("PREPARE p AS INSERT INTO prepared {query}")).await;
    f.run("EXECUTE p").await;
    // DataFusion's planner has no cast for bytes.
    if !data_type.starts_with("FixedSizeBinary") {
        f.run("CREATE TABLE read_by_datafusion (id BIGINT, x INTERVAL)").await;
        f.ctx.sql(&format!("INSERT INTO read_by_datafusion {query}")).await.unwrap().collect().await.unwrap();
        ways.push("read_by_datafusion");
    }
    let mut stored = Vec::new();
    for way in ways {
        stored.push((way, f.rows(&format!("SELECT x FROM {way} ORDER BY id")).await));
    }
    stored
}

fn compare(values: &[String], data_type: &str) -> Result<(), TestCaseError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        for inline in [InlineOptions::default(), InlineOptions::OFF] {
            let f = fixture_of_texts(inline).await;
            let stored = stored_on_every_way(&f, values, data_type).await;
            for (way, texts) in &stored {
                prop_assert_eq!(texts, &stored[0].1, "{} of {}", way, data_type);
            }
        }
        Ok(())
    })
}

proptest! {
    #![proptest_config(Config { cases: 8, failure_persistence: None, ..Config::default() })]

    #[test]
    fn intervals_become_the_same_text_on_every_way(values in prop::collection::vec(any_value(), 1..6)) {
        compare(&values, "Interval(MonthDayNano)")?;
    }

    #[test]
    fn bytes_of_one_size_become_the_same_text_on_every_way(values in prop::collection::vec(any::<[u8; 3]>(), 1..6)) {
        let hex = |[a, b, c]: &[u8; 3]| format!("{a:02x}{b:02x}{c:02x}");
        let values: Vec<_> = values.iter().map(|bytes| format!("decode('{}', 'hex')", hex(bytes))).collect();
        compare(&values, "FixedSizeBinary(3)")?;
    }

    #[test]
    fn durations_become_the_same_text_on_every_way(values in prop::collection::vec(-5_000_000_000..5_000_000_000_i64, 1..6)) {
        let values: Vec<_> = values.iter().map(i64::to_string).collect();
        compare(&values, "Duration(Nanosecond)")?;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_text_of_an_interval_is_that_of_iso_8601_and_a_cast_stays_a_cast() {
    let f = fixture_of_texts(InlineOptions::default()).await;
    f.run("CREATE TABLE t (id BIGINT, x INTERVAL)").await;
    f.run("INSERT INTO t VALUES (1, INTERVAL '1 month 2 days 3 seconds'), (2, CAST(INTERVAL '1 month' AS VARCHAR))")
        .await;
    f.run("INSERT INTO t SELECT id, x + INTERVAL '1 day' FROM (VALUES (5, INTERVAL '1 month')) AS v(id, x)").await;
    f.run("INSERT INTO t SELECT 3, INTERVAL '-90 seconds' UNION ALL SELECT 4, NULL").await;
    let found = f.rows("SELECT x FROM t ORDER BY id").await;
    assert_eq!(found, ["P1M2DT3S", "1 mons", "-PT90S", "", "P1M1D"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_come_in_an_order_keep_it_beside_texts() {
    let f = fixture_of_texts(InlineOptions::default()).await;
    f.run("CREATE TABLE t (id BIGINT PRIMARY KEY, x INTERVAL, name VARCHAR)").await;
    let rows = "SELECT id, INTERVAL '1 day', name FROM (VALUES (1, 'a'), (1, 'c'), (1, 'b')) AS v(id, name)";
    f.run(&format!("INSERT INTO t {rows} ORDER BY name DESC ON CONFLICT (id) DO NOTHING")).await;
    assert_eq!(f.rows("SELECT x, name FROM t").await, ["P1D,c"]);
}
