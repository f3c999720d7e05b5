//! Statements that are not supported change nothing.

use crate::fixture::fixture;

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
