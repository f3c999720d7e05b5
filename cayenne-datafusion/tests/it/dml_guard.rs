//! Statements that are not supported change nothing, however the planner rewrites their predicates.

use cayenne_format::ErrorKind;

use crate::fixture::fixture;

#[tokio::test(flavor = "multi_thread")]
async fn no_statement_that_is_not_supported_touches_a_row() {
    let f = fixture().await;
    f.run("CREATE TABLE t AS VALUES (1, 'a'), (2, 'b'), (3, NULL)").await;
    f.run("CREATE TABLE s AS VALUES (2)").await;
    for text in [
        "DELETE FROM t",
        "DELETE FROM t WHERE false",
        "DELETE FROM t WHERE column1 = NULL",
        "DELETE FROM t WHERE column1 > 0 LIMIT 1",
        "DELETE FROM t WHERE column1 IN (SELECT column1 FROM s)",
        "DELETE FROM t WHERE column1 NOT IN (SELECT column1 FROM s)",
        "UPDATE t SET column2 = 'x'",
        "UPDATE t SET column2 = 'x' WHERE EXISTS (SELECT 1 FROM s WHERE s.column1 = t.column1)",
        "REPLACE INTO t VALUES (1, 'z')",
        "MERGE INTO t USING s ON t.column1 = s.column1 WHEN MATCHED THEN DELETE",
        "MERGE INTO t USING s ON t.column1 = s.column1 WHEN NOT MATCHED THEN INSERT (column1, column2) VALUES (9, 'q')",
    ] {
        let error = f.fails(text).await;
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{text}: {error:?}");
        let _explained = f.try_run(&format!("EXPLAIN {text}")).await;
        assert_eq!(f.rows("SELECT * FROM t ORDER BY 1").await, ["1,a", "2,b", "3,"], "{text}");
        // The same in a session that calls DataFusion's own entry.
        let plain = async { f.ctx.sql(text).await?.collect().await };
        assert!(plain.await.is_err(), "{text}");
        assert_eq!(f.rows("SELECT count(*) FROM t$snapshots").await, ["1"], "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clauses_that_read_an_earlier_version_are_refused_and_not_ignored() {
    let f = fixture().await;
    f.run("CREATE TABLE t AS VALUES (1)").await;
    f.run("SET datafusion.sql_parser.dialect = 'bigquery'").await;
    let text = "SELECT * FROM t FOR SYSTEM_TIME AS OF TIMESTAMP '2020-01-01'";
    let error = match f.ctx.sql(text).await {
        Err(error) => cayenne_datafusion::error_of(error),
        Ok(_) => panic!("the clause was ignored"),
    };
    assert_eq!(error.stable_code(), "unsupported-sql", "{error:?}");
    assert!(error.way_to_mend().unwrap().contains("cayenne_at"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_earlier_snapshot_cannot_be_written() {
    let f = fixture().await;
    f.run("CREATE TABLE t AS VALUES (1)").await;
    let table = f.database.table(&"t".parse().unwrap()).await.unwrap().unwrap();
    let view =
        table.view_at("1".parse::<u64>().map(|n| cayenne_format::Sequence::new(n).unwrap()).unwrap()).await.unwrap();
    let provider = cayenne_datafusion::CayenneTable::at(table, view);
    let plain = datafusion::prelude::SessionContext::new();
    plain.register_table("old", std::sync::Arc::new(provider)).unwrap();
    assert!(plain.sql("INSERT INTO old VALUES (2)").await.unwrap().collect().await.is_err());
    assert_eq!(plain.sql("SELECT * FROM old").await.unwrap().count().await.unwrap(), 1);
}
