//! Views: planned by the session that reads them, visible in all sessions, and inlined into the plan.

use arrow_array::RecordBatch;
use cayenne_datafusion::{SessionStateBuilderExt, error_of};
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::prelude::SessionContext;

use crate::fixture::{fixture, fixture_of_files, open};

#[tokio::test(flavor = "multi_thread")]
async fn conditions_and_columns_reach_the_scan_inside() {
    let f = fixture_of_files().await;
    f.run("CREATE TABLE t (id INT, a INT, b INT)").await;
    f.run("INSERT INTO t VALUES (1, 2, 3), (4, 5, 6)").await;
    f.run("CREATE VIEW v AS SELECT id, a + b AS s FROM t").await;
    f.run("CREATE VIEW w AS SELECT id AS key, s FROM v WHERE s > 1").await;
    let plan = f.plan("EXPLAIN FORMAT INDENT SELECT s FROM w WHERE key = 4").await;
    assert!(plan.contains("t.id = Int32(4)"), "{plan}");
    assert_eq!(f.rows("SELECT s FROM w WHERE key = 4").await, ["11"]);
    let plan = f.plan("EXPLAIN FORMAT INDENT SELECT key FROM w LIMIT 1").await;
    assert!(plan.contains("TableScan: t projection=[id, a, b]"), "{plan}");
    let plan = f.plan("EXPLAIN FORMAT INDENT SELECT id FROM v").await;
    assert!(plan.contains("TableScan: t projection=[id]"), "{plan}");
}

#[tokio::test(flavor = "multi_thread")]
async fn views_are_there_for_other_sessions_and_later() {
    let f = fixture().await;
    f.run("CREATE TABLE t AS VALUES (1), (2)").await;
    let (database, ctx) = open(f.folder.path()).await;
    f.run("CREATE VIEW v AS SELECT column1 * 10 AS ten FROM t").await;
    f.run("CREATE TEMPORARY VIEW passing AS SELECT * FROM v").await;
    let count = async |ctx: &SessionContext, from: &str| {
        let query = format!("SELECT * FROM {from}");
        cayenne_datafusion::sql(ctx, &query).await.map_err(error_of)?.count().await.map_err(error_of)
    };
    assert_eq!(count(&ctx, "v").await.unwrap(), 2);
    assert_eq!(count(&ctx, "passing").await.unwrap_err().stable_code(), "sql-plan");
    f.run("CREATE OR REPLACE VIEW v AS SELECT 1 AS one").await;
    assert_eq!(count(&ctx, "v").await.unwrap(), 1);
    database.close().await.unwrap();
    f.database.close().await.unwrap();
    let (database, ctx) = open(f.folder.path()).await;
    assert_eq!(count(&ctx, "v").await.unwrap(), 1);
    cayenne_datafusion::sql(&ctx, "DROP VIEW v").await.unwrap();
    assert_eq!(count(&ctx, "v").await.unwrap_err().stable_code(), "sql-plan");
    database.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn session_of_the_user_reads_views_and_says_what_it_lacks() {
    let f = fixture().await;
    f.run("CREATE TABLE t AS VALUES (1), (2)").await;
    f.run("CREATE VIEW v AS SELECT column1 AS a FROM t").await;
    let state = SessionStateBuilder::new().with_default_features().with_cayenne(&f.database).build();
    let ctx = SessionContext::new_with_state(state);
    let query = "SELECT a FROM cayenne.public.v";
    // The DataFusion session has another default catalog. The names in the view still refer to the tables of the view's catalog.
    assert_eq!(cayenne_datafusion::sql(&ctx, query).await.unwrap().count().await.unwrap(), 2);
    let error = ctx.sql(query).await.unwrap().collect().await.unwrap_err();
    let error = error_of(error);
    assert_eq!(error.stable_code(), "view-broken");
    assert!(error.to_string().contains("cannot plan views"), "{error}");
    // The session that knows itself does without.
    assert_eq!(f.ctx.sql("SELECT a FROM v").await.unwrap().count().await.unwrap(), 2);
    f.ctx.sql("DROP VIEW v").await.unwrap();
    assert_eq!(f.fails("SELECT a FROM v").await.stable_code(), "sql-plan");
}

#[tokio::test(flavor = "multi_thread")]
async fn depth_of_views_is_bounded() {
    let f = fixture().await;
    f.run("CREATE VIEW v0 AS SELECT 1 AS a").await;
    let mut depth = 1;
    let error = loop {
        let text = format!("CREATE VIEW v{depth} AS SELECT a FROM v{}", depth - 1);
        match f.try_run(&text).await {
            Ok(_) => depth += 1,
            Err(error) => break error,
        }
        assert!(depth < 100, "any depth is accepted");
    };
    assert!(error.to_string().contains("too deeply"), "{error}");
    assert_eq!(f.rows(&format!("SELECT a FROM v{}", depth - 1)).await, ["1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn prepared_query_reads_a_view() {
    let f = fixture().await;
    f.run("CREATE TABLE t (id BIGINT PRIMARY KEY, name VARCHAR)").await;
    f.run("INSERT INTO t VALUES (1, 'a'), (2, 'b')").await;
    f.run("CREATE VIEW v AS SELECT id, upper(name) AS big FROM t").await;
    let prepared = cayenne_datafusion::prepare(&f.ctx, "SELECT big FROM v WHERE id = $1").await.unwrap();
    let rows = prepared.execute(&[2_i64.into()]).await.unwrap();
    let found = datafusion::physical_plan::common::collect(rows).await.unwrap();
    assert_eq!(found.iter().map(RecordBatch::num_rows).sum::<usize>(), 1);
}
