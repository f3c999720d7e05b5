//! `DELETE` and `UPDATE` change exactly the rows for which their condition is true.

use cayenne_format::ErrorKind;

use crate::fixture::{Fixture, fixture, fixture_of_files};

const ALL: &str = "SELECT * FROM t ORDER BY 1";

/// Runs each statement on a fresh table, inline and in files, and compares its result and the remaining rows.
async fn behaves(setup: &[&str], statements: &[(&str, &str, &[&str])]) {
    for inline in [true, false] {
        for (text, count, left) in statements {
            let f = if inline { fixture().await } else { fixture_of_files().await };
            for statement in setup {
                f.run(statement).await;
            }
            let before = f.rows(ALL).await;
            f.plan(&format!("EXPLAIN {text}")).await;
            drop(cayenne_datafusion::sql(&f.ctx, text).await.unwrap().execute_stream().await.unwrap());
            assert_eq!(f.rows(ALL).await, before, "{text}: nothing has been executed yet");
            assert_eq!(f.rows(text).await, [*count], "{text}");
            assert_eq!(f.rows(ALL).await, *left, "{text}");
            assert_eq!(f.rows("SELECT count(*) FROM t").await, [left.len().to_string()], "{text}");
        }
    }
}

const SETUP: &[&str] = &[
    "CREATE TABLE t (id BIGINT, name VARCHAR, n INT)",
    "INSERT INTO t VALUES (1, 'a', 10), (2, 'b', 20)",
    "INSERT INTO t VALUES (3, NULL, 30), (4, 'd', NULL)",
    "CREATE TABLE s (id BIGINT, v INT)",
    "INSERT INTO s VALUES (2, 200), (3, 300), (2, 201)",
    "CREATE TABLE nulls (id BIGINT)",
    "INSERT INTO nulls VALUES (1), (NULL)",
];

const LEFT: &[&str] = &["1,a,10", "2,b,20", "3,,30", "4,d,"];

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_removes_what_its_condition_is_true_for() {
    let statements: &[(&str, &str, &[&str])] = &[
        ("DELETE FROM t", "4", &[]),
        ("DELETE FROM t WHERE true", "4", &[]),
        ("DELETE FROM t WHERE false", "0", LEFT),
        ("DELETE FROM t WHERE id = NULL", "0", LEFT),
        ("DELETE FROM t WHERE NULL", "0", LEFT),
        ("DELETE FROM t WHERE id = 2", "1", &["1,a,10", "3,,30", "4,d,"]),
        ("DELETE FROM t WHERE id + 1 = 3", "1", &["1,a,10", "3,,30", "4,d,"]),
        ("DELETE FROM t WHERE name IS NULL OR n IS NULL", "2", &["1,a,10", "2,b,20"]),
        ("DELETE FROM t WHERE name <> 'a'", "2", &["1,a,10", "3,,30"]),
        ("DELETE FROM cayenne.public.t WHERE cayenne.public.t.id > 1", "3", &["1,a,10"]),
        ("DELETE FROM public.t WHERE id IN (1, 3, NULL)", "2", &["2,b,20", "4,d,"]),
        ("DELETE FROM t WHERE id IN (SELECT id FROM s)", "2", &["1,a,10", "4,d,"]),
        ("DELETE FROM t WHERE id NOT IN (SELECT id FROM s)", "2", &["2,b,20", "3,,30"]),
        ("DELETE FROM t WHERE id NOT IN (SELECT id FROM nulls)", "0", LEFT),
        ("DELETE FROM t WHERE EXISTS (SELECT 1 FROM s WHERE s.id = t.id)", "2", &["1,a,10", "4,d,"]),
        ("DELETE FROM t WHERE NOT EXISTS (SELECT 1 FROM s WHERE s.id = t.id)", "2", &["2,b,20", "3,,30"]),
        ("DELETE FROM t WHERE n > (SELECT avg(n) FROM t)", "1", &["1,a,10", "2,b,20", "4,d,"]),
        ("DELETE FROM t WHERE id = (SELECT max(id) FROM t)", "1", &["1,a,10", "2,b,20", "3,,30"]),
        ("DELETE FROM t WHERE id IN (SELECT a.id + 1 FROM t AS a)", "3", &["1,a,10"]),
        ("DELETE FROM t WHERE id = 1 OR id IN (SELECT id FROM s)", "3", &["4,d,"]),
        ("DELETE FROM t WHERE n / 10 = 2 AND name LIKE 'b%'", "1", &["1,a,10", "3,,30", "4,d,"]),
    ];
    behaves(SETUP, statements).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_changes_what_its_condition_is_true_for() {
    let statements: &[(&str, &str, &[&str])] = &[
        ("UPDATE t SET name = 'x'", "4", &["1,x,10", "2,x,20", "3,x,30", "4,x,"]),
        ("UPDATE t SET name = 'x' WHERE false", "0", LEFT),
        ("UPDATE t SET name = 'x' WHERE id = NULL", "0", LEFT),
        ("UPDATE t SET n = n + 1 WHERE id < 3", "2", &["1,a,11", "2,b,21", "3,,30", "4,d,"]),
        ("UPDATE t SET id = id + 10 WHERE id > 2", "2", &["1,a,10", "2,b,20", "13,,30", "14,d,"]),
        ("UPDATE t SET id = n, n = id WHERE id = 1", "1", &["2,b,20", "3,,30", "4,d,", "10,a,1"]),
        ("UPDATE t SET n = '77' WHERE id = 1", "1", &["1,a,77", "2,b,20", "3,,30", "4,d,"]),
        ("UPDATE t SET n = NULL, name = upper(name) WHERE id <= 2", "2", &["1,A,", "2,B,", "3,,30", "4,d,"]),
        ("UPDATE t AS x SET n = x.id WHERE x.name = 'd'", "1", &["1,a,10", "2,b,20", "3,,30", "4,d,4"]),
        ("UPDATE public.t SET n = 0 WHERE id IN (SELECT id FROM s)", "2", &["1,a,10", "2,b,0", "3,,0", "4,d,"]),
        (
            "UPDATE t SET name = 'x' WHERE EXISTS (SELECT 1 FROM s WHERE s.id = t.id)",
            "2",
            &["1,a,10", "2,x,20", "3,x,30", "4,d,"],
        ),
        (
            "UPDATE t SET n = (SELECT max(v) FROM s WHERE s.id = t.id) WHERE id IN (2, 3)",
            "2",
            &["1,a,10", "2,b,201", "3,,300", "4,d,"],
        ),
        ("UPDATE t SET n = (SELECT sum(n) FROM t) WHERE id = 4", "1", &["1,a,10", "2,b,20", "3,,30", "4,d,60"]),
        ("UPDATE t SET n = 100 / (id - 1) WHERE id <> 1", "3", &["1,a,10", "2,b,100", "3,,50", "4,d,33"]),
        ("UPDATE t SET n = 100 / (id - 1) WHERE id + 0 <> 1", "3", &["1,a,10", "2,b,100", "3,,50", "4,d,33"]),
        ("UPDATE t SET n = random() * 0 + 1, name = 'r' WHERE id < 3", "2", &["1,r,1", "2,r,1", "3,,30", "4,d,"]),
        ("UPDATE t SET name = (SELECT 'one') WHERE id IN (SELECT id FROM t LIMIT 0)", "0", LEFT),
        ("UPDATE t SET id = id + 1", "4", &["2,a,10", "3,b,20", "4,,30", "5,d,"]),
    ];
    behaves(SETUP, statements).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_counts_the_rows_that_go() {
    let f = fixture().await;
    f.run("CREATE TABLE t AS SELECT value AS id FROM range(0, 100)").await;
    f.run("INSERT INTO t SELECT value FROM range(100, 5000)").await;
    assert_eq!(f.rows("DELETE FROM t LIMIT 7").await, ["7"]);
    assert_eq!(f.rows("DELETE FROM t WHERE id % 2 = 0 LIMIT 1000").await, ["1000"]);
    assert_eq!(f.rows("SELECT count(*) FROM t").await, ["3993"]);
    assert_eq!(f.rows("DELETE FROM t WHERE id < 10 LIMIT 0").await, ["0"]);
    assert_eq!(f.rows("DELETE FROM t LIMIT 100000").await, ["3993"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_half_way_changes_nothing() {
    let f = fixture_of_files().await;
    f.run("CREATE TABLE t (id BIGINT NOT NULL, small SMALLINT)").await;
    f.run("INSERT INTO t SELECT value, value % 100 FROM range(0, 50000)").await;
    let sums = "SELECT count(*), sum(id), sum(small) FROM t";
    let before = f.rows(sums).await;
    for text in [
        "UPDATE t SET id = 1 / (id - 40000)",
        "UPDATE t SET small = id",
        "UPDATE t SET small = CAST(concat('x', id) AS SMALLINT) WHERE id > 49990",
        "UPDATE t SET id = NULL WHERE id = 3",
        "DELETE FROM t WHERE 1 / (id - 40000) = 0",
        "DELETE FROM t WHERE id = (SELECT id FROM t)",
    ] {
        f.fails(text).await;
        assert_eq!(f.rows(sums).await, before, "{text}");
    }
    assert_eq!(f.rows("SELECT count(*) FROM t$snapshots").await, ["1"]);
}

/// Columns that are not set keep their values and their exact types.
#[tokio::test(flavor = "multi_thread")]
async fn an_update_keeps_every_other_column() {
    let f = fixture_of_files().await;
    f.run(
        "CREATE TABLE t AS SELECT value AS id, value * 1.5 AS f, (value % 2) = 0 AS b, concat('t', value) AS s,
         arrow_cast(concat('d', value % 3), 'Dictionary(Int32, Utf8)') AS d, CAST(value AS DECIMAL(20, 3)) AS m,
         CAST('2024-01-01' AS DATE) AS day, make_array(value, NULL) AS l, named_struct('x', value, 'y', 'z') AS st,
         to_timestamp(value) AS ts FROM range(0, 1000)",
    )
    .await;
    f.run("CREATE TABLE before AS SELECT * FROM t").await;
    let types =
        "SELECT arrow_typeof(f), arrow_typeof(d), arrow_typeof(m), arrow_typeof(l), arrow_typeof(st) FROM t LIMIT 1";
    let before = f.rows(types).await;
    assert_eq!(f.rows("UPDATE t SET s = 'new' WHERE id % 10 = 3").await, ["100"]);
    assert_eq!(f.rows(types).await, before);
    let text =
        "SELECT count(*) FROM (SELECT id, f, b, d, m, day, l, st, ts FROM t EXCEPT SELECT id, f, b, d, m, day, l,
                st, ts FROM before)";
    assert_eq!(f.rows(text).await, ["0"]);
    assert_eq!(f.rows("SELECT count(*), count(*) FILTER (WHERE s = 'new') FROM t").await, ["1000,100"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_says_what_it_changes_and_explaining_it_changes_nothing() {
    let f = fixture_of_files().await;
    f.run("CREATE TABLE t AS SELECT value AS id FROM range(0, 10)").await;
    let plan = f.plan("EXPLAIN DELETE FROM t WHERE id IN (SELECT max(id) FROM t)").await;
    assert!(plan.contains("CayenneChange: delete from t") && plan.contains("deletion_mode=position"), "{plan}");
    let plan = f.plan("EXPLAIN UPDATE t SET id = 3").await;
    assert!(plan.contains("CayenneChange: update t"), "{plan}");
    for form in ["EXPLAIN VERBOSE", "EXPLAIN FORMAT TREE", "EXPLAIN FORMAT INDENT"] {
        f.plan(&format!("{form} DELETE FROM t WHERE id = 1")).await;
    }
    assert_eq!(f.rows("SELECT count(*) FROM t").await, ["10"]);
    f.plan("EXPLAIN ANALYZE DELETE FROM t WHERE id = 1").await;
    assert_eq!(f.rows("SELECT count(*) FROM t").await, ["9"]);
}

async fn plain(f: &Fixture) -> datafusion::prelude::SessionContext {
    let table = f.database.table(&"t".parse().unwrap()).await.unwrap().unwrap();
    let plain = datafusion::prelude::SessionContext::new();
    plain.register_table("t", std::sync::Arc::new(cayenne_datafusion::CayenneTable::new(table))).unwrap();
    plain
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_without_the_rule_refuses_and_says_what_to_do() {
    let f = fixture().await;
    f.run("CREATE TABLE t AS VALUES (1), (2)").await;
    let plain = plain(&f).await;
    for text in [
        "DELETE FROM t",
        "DELETE FROM t WHERE column1 = 1",
        "UPDATE t SET column1 = 3",
        "MERGE INTO t USING t AS s ON t.column1 = s.column1 WHEN MATCHED THEN DELETE",
    ] {
        let run = async { plain.sql(text).await?.collect().await };
        let error = cayenne_datafusion::error_of(run.await.unwrap_err());
        assert_eq!((error.kind(), error.stable_code()), (ErrorKind::Unsupported, "no-dml-rule"), "{text}");
        let help = error.way_to_mend().unwrap();
        assert!(help.contains("TRUNCATE") && help.contains("with_cayenne"), "{help}");
    }
    assert_eq!(f.rows("SELECT count(*) FROM t").await, ["2"]);
}

/// An update of rows that another statement has changed meanwhile is a conflict; a delete leaves such rows out.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_does_not_undo_one_that_came_between() {
    for inline in [true, false] {
        let f = if inline { fixture().await } else { fixture_of_files().await };
        f.run("CREATE TABLE t AS SELECT value AS id, 0 AS n FROM range(0, 10)").await;
        let plan = async |text: &str| {
            let frame = cayenne_datafusion::sql(&f.ctx, text).await.unwrap();
            (frame.task_ctx(), frame.create_physical_plan().await.unwrap())
        };
        let (update, delete) =
            (plan("UPDATE t SET n = 1 WHERE id < 5").await, plan("DELETE FROM t WHERE id < 5").await);
        assert_eq!(f.rows("UPDATE t SET n = 2 WHERE id = 3").await, ["1"]);
        let run = async |(context, plan): (datafusion::execution::TaskContext, _)| {
            datafusion::physical_plan::collect(plan, std::sync::Arc::new(context)).await
        };
        let error = cayenne_datafusion::error_of(run(update).await.unwrap_err());
        assert_eq!((error.kind(), error.stable_code()), (ErrorKind::Conflict, "row-changed"), "{error:?}");
        assert_eq!(f.rows("SELECT count(*), sum(n) FROM t").await, ["10,2"]);
        let deleted = run(delete).await.unwrap();
        let text = datafusion::arrow::util::pretty::pretty_format_batches(&deleted).unwrap().to_string();
        assert!(text.contains("| 4     |"), "{text}");
        assert_eq!(f.rows("SELECT count(*), sum(n) FROM t").await, ["6,2"]);
    }
}

/// A statement can be prepared once and executed many times, each time on the current rows.
#[tokio::test(flavor = "multi_thread")]
async fn a_statement_runs_again_on_what_is_there_then() {
    let f = fixture_of_files().await;
    f.run("CREATE TABLE t AS SELECT value AS id, 0 AS n FROM range(0, 10)").await;
    f.run("PREPARE p(BIGINT) AS UPDATE t SET n = n + 1 WHERE id < $1").await;
    assert_eq!(f.rows("EXECUTE p(3)").await, ["3"]);
    assert_eq!(f.rows("EXECUTE p(5)").await, ["5"]);
    assert_eq!(f.rows("SELECT sum(n) FROM t").await, ["8"]);
    let frame = cayenne_datafusion::sql(&f.ctx, "DELETE FROM t WHERE n = 2").await.unwrap();
    for _ in 0..2 {
        frame.clone().collect().await.unwrap();
    }
    assert_eq!(f.rows("SELECT count(*) FROM t").await, ["7"]);
}

/// A table that is registered in the session under another name, and always reads the latest rows.
#[tokio::test(flavor = "multi_thread")]
async fn a_registered_table_is_changed_like_one_of_the_catalog() {
    let f = fixture_of_files().await;
    f.run("CREATE TABLE t AS SELECT value AS id, 0 AS n FROM range(0, 10)").await;
    let table = f.database.table(&"t".parse().unwrap()).await.unwrap().unwrap();
    let state = datafusion::execution::session_state::SessionStateBuilder::new().with_default_features();
    let state = cayenne_datafusion::SessionStateBuilderExt::with_cayenne(state, &f.database).build();
    let ctx = datafusion::prelude::SessionContext::new_with_state(state);
    ctx.register_table("mine", std::sync::Arc::new(cayenne_datafusion::CayenneTable::new(table))).unwrap();
    ctx.sql("CREATE TABLE other AS VALUES (1), (2)").await.unwrap().collect().await.unwrap();
    for text in [
        "DELETE FROM mine WHERE id > (SELECT avg(id) FROM mine)",
        "UPDATE mine SET n = 1 WHERE id IN (SELECT column1 FROM other)",
        "MERGE INTO mine USING cayenne.public.t AS c ON mine.id = c.id + 2 WHEN MATCHED THEN UPDATE SET n = 5",
    ] {
        ctx.sql(text).await.unwrap().collect().await.unwrap_or_else(|error| panic!("{text}: {error}"));
    }
    assert_eq!(f.rows("SELECT * FROM t ORDER BY id").await, ["0,0", "1,1", "2,5", "3,5", "4,5"]);
    // Tables that are not Cayenne's are left to DataFusion.
    let other = async { ctx.sql("DELETE FROM other WHERE column1 = 1").await?.collect().await };
    assert!(other.await.is_ok());
    assert_eq!(ctx.sql("SELECT * FROM other").await.unwrap().count().await.unwrap(), 1);
}
