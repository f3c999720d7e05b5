//! The cost of queries, by counts and not by time.

use std::sync::Arc;

use cayenne_datafusion::{session, sql};
use cayenne_format::NoSteps;
use cayenne_metastore::{SqliteMetastore, SqliteSettings};
use cayenne_table::Database;
use cayenne_testkit::{CountingFs, CountingMetastore};
use datafusion::prelude::SessionConfig;

#[tokio::test(flavor = "multi_thread")]
async fn a_query_on_a_warm_view_reads_no_metastore_no_folder_and_no_footer() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("metadata")).unwrap();
    let path = folder.path().join("metadata/cayenne.db");
    let sqlite = SqliteMetastore::open(&path, SqliteSettings::default(), Arc::new(NoSteps)).await.unwrap();
    let metastore = Arc::new(CountingMetastore::new(Arc::new(sqlite)));
    let fs = Arc::new(CountingFs::default());
    let builder = Database::builder(folder.path()).fs(Arc::clone(&fs) as _);
    let database = builder.metastore(Arc::clone(&metastore) as _).open().await.unwrap();
    let ctx = session(SessionConfig::new().with_target_partitions(2), Arc::default(), &database).unwrap();
    let run = async |text: &str| sql(&ctx, text).await.unwrap().collect().await.unwrap();
    run("CREATE TABLE t AS SELECT value AS id, value % 10 AS k FROM generate_series(1, 50000)").await;
    run("INSERT INTO t VALUES (1, 2)").await;
    let query = "SELECT k, sum(id) FROM t WHERE id > 100 GROUP BY k";
    // The first run reads the footers, which bring the segments of such small files along. The second run reads the
    // segments. From the third run on they are in the cache, because they were requested before.
    for _ in 0..3 {
        run(query).await;
    }
    let (asked, listed, opened, reads) = (metastore.calls(), fs.lists(), fs.opens(), fs.reads());
    let answer = run(query).await;
    assert_eq!(answer.iter().map(arrow_array::RecordBatch::num_rows).sum::<usize>(), 10);
    assert_eq!(metastore.calls(), asked, "the metastore was asked");
    assert_eq!(fs.lists(), listed, "a folder was listed");
    assert_eq!(fs.reads(), reads, "a footer or a segment was read again");
    assert_eq!(fs.opens(), opened, "a file was opened again");
}
