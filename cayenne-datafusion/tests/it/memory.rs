//! The memory that a scan decodes into is charged to the memory pool of its query.

use std::sync::Arc;

use cayenne_datafusion::{error_of, session, sql};
use cayenne_format::ErrorKind;
use datafusion::execution::memory_pool::{GreedyMemoryPool, MemoryPool};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::StreamExt;

use crate::fixture::{Fixture, fixture};

async fn filled() -> Fixture {
    let f = fixture().await;
    f.run("CREATE TABLE t AS SELECT value AS id, 'text of row ' || value AS text FROM generate_series(1, 100000)")
        .await;
    f
}

fn limited(f: &Fixture, bytes: usize) -> (SessionContext, Arc<dyn MemoryPool>) {
    let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(bytes));
    let runtime = RuntimeEnvBuilder::new().with_memory_pool(Arc::clone(&pool)).build_arc().unwrap();
    let config = SessionConfig::new().with_target_partitions(2);
    (session(config, runtime, &f.database).unwrap(), pool)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_holds_its_share_while_it_runs_and_gives_it_back() {
    let f = filled().await;
    let (ctx, pool) = limited(&f, 256 << 20);
    let mut rows = sql(&ctx, "SELECT id, text FROM t").await.unwrap().execute_stream().await.unwrap();
    assert!(rows.next().await.unwrap().unwrap().num_rows() > 0);
    let held = pool.reserved();
    assert!((1 << 20..64 << 20).contains(&held), "{held} bytes are held for 100,000 rows of about 30 bytes");
    while let Some(batch) = rows.next().await {
        batch.unwrap();
    }
    drop(rows);
    assert_eq!(pool.reserved(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_without_room_is_refused_by_name() {
    let f = filled().await;
    let (ctx, pool) = limited(&f, 64 << 10);
    let refused = sql(&ctx, "SELECT id, text FROM t").await.unwrap().collect().await;
    let error = error_of(refused.unwrap_err());
    assert_eq!((error.kind(), error.stable_code()), (ErrorKind::ResourceLimit, "out-of-memory"), "{error:?}");
    assert_eq!(pool.reserved(), 0);
    let (ctx, _) = limited(&f, 64 << 20);
    let counted = sql(&ctx, "SELECT count(*) FROM t WHERE text LIKE '%7'").await.unwrap().collect().await.unwrap();
    assert_eq!(counted.len(), 1, "a refusal leaves nothing behind");
}
