//! Every backend passes the conformance suite.

use std::cell::Cell;
use std::sync::Arc;

use cayenne_metastore::{MemoryMetastore, Metastore, conformance};

use crate::fixture::open;

#[tokio::test]
async fn memory_conforms() {
    conformance::run(async || Arc::new(MemoryMetastore::default()) as Arc<dyn Metastore>).await;
}

#[tokio::test]
async fn sqlite_conforms() {
    let folder = tempfile::tempdir().unwrap();
    let count = Cell::new(0);
    conformance::run(async || {
        count.set(count.get() + 1);
        Arc::new(open(folder.path().join(format!("{}.db", count.get()))).await) as Arc<dyn Metastore>
    })
    .await;
}

#[tokio::test]
async fn sqlite_conforms_when_reopened() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cayenne.db");
    conformance::run_reopening(async || Arc::new(open(&path).await) as Arc<dyn Metastore>).await;
}
