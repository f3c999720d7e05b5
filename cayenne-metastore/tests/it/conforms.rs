//! Every backend passes the conformance suite and 20,000 steps of random history.

use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;

use cayenne_metastore::{MemoryMetastore, Metastore, conformance};

use crate::{fixture, turso};

/// The number of histories in each test, and their length in steps. Five such tests make the 20,000 steps of a backend.
const HISTORIES: u64 = 4;
const STEPS: u32 = 1_000;

async fn memory(_: &Path) -> Arc<dyn Metastore> {
    Arc::new(MemoryMetastore::default())
}

async fn sqlite(path: &Path) -> Arc<dyn Metastore> {
    Arc::new(fixture::open(path).await)
}

async fn turso(path: &Path) -> Arc<dyn Metastore> {
    Arc::new(turso::open(path).await)
}

async fn cases(open: impl AsyncFn(&Path) -> Arc<dyn Metastore>) {
    let folder = tempfile::tempdir().unwrap();
    let count = Cell::new(0);
    conformance::run_cases(async || {
        count.set(count.get() + 1);
        open(&folder.path().join(format!("{}.db", count.get()))).await
    })
    .await;
}

async fn histories(part: u64, open: impl AsyncFn(&Path) -> Arc<dyn Metastore>) {
    for seed in part * HISTORIES..(part + 1) * HISTORIES {
        let folder = tempfile::tempdir().unwrap();
        conformance::run_history(seed, STEPS, async || open(&folder.path().join("a.db")).await).await;
    }
}

async fn reopened_histories(part: u64, open: impl AsyncFn(&Path) -> Arc<dyn Metastore>) {
    for seed in part * HISTORIES..(part + 1) * HISTORIES {
        let folder = tempfile::tempdir().unwrap();
        conformance::run_history_reopening(seed, STEPS, async || open(&folder.path().join("a.db")).await).await;
    }
}

#[tokio::test]
async fn memory_passes_every_case() {
    cases(memory).await;
}

#[tokio::test]
async fn sqlite_passes_every_case() {
    cases(sqlite).await;
}

#[tokio::test]
async fn turso_passes_every_case() {
    cases(turso).await;
}

macro_rules! test_histories {
    ($($name:ident: $histories:ident($part:literal, $backend:ident);)*) => {
        $(
            #[tokio::test]
            async fn $name() {
                $histories($part, $backend).await;
            }
        )*
    };
}

test_histories! {
    memory_agrees_with_the_model_0: histories(0, memory);
    memory_agrees_with_the_model_1: histories(1, memory);
    memory_agrees_with_the_model_2: histories(2, memory);
    memory_agrees_with_the_model_3: histories(3, memory);
    memory_agrees_with_the_model_4: histories(4, memory);
    sqlite_agrees_with_the_model_0: histories(0, sqlite);
    sqlite_agrees_with_the_model_1: histories(1, sqlite);
    sqlite_agrees_with_the_model_2: histories(2, sqlite);
    sqlite_agrees_with_the_model_when_reopened_3: reopened_histories(3, sqlite);
    sqlite_agrees_with_the_model_when_reopened_4: reopened_histories(4, sqlite);
    turso_agrees_with_the_model_0: histories(0, turso);
    turso_agrees_with_the_model_1: histories(1, turso);
    turso_agrees_with_the_model_2: histories(2, turso);
    turso_agrees_with_the_model_when_reopened_3: reopened_histories(3, turso);
    turso_agrees_with_the_model_when_reopened_4: reopened_histories(4, turso);
}
