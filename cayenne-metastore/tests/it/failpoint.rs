//! A failing step leaves nothing behind, whatever the operation, and the next change works.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cayenne_format::{Result, Sequence, Step, Steps, TableState, WriterEpoch};
use cayenne_metastore::conformance::Samples;
use cayenne_metastore::{Beginning, MemoryMetastore, Metastore};

use crate::fixture::{FailsAt, append, contents, fill, open_with, table};
use crate::turso;

const STEPS: [Step; 5] =
    [Step::BeginCommit, Step::CheckRequirements, Step::ApplyChanges, Step::EndCommit, Step::DropTable];

fn fails_at(step: Step) -> Arc<FailsAt> {
    Arc::new(FailsAt { step, armed: AtomicBool::new(false) })
}

#[tokio::test]
async fn sqlite_is_unchanged_after_a_failed_step() {
    let folder = tempfile::tempdir().unwrap();
    for step in STEPS {
        let fails = fails_at(step);
        let metastore = open_with(folder.path().join(step.name()), fails.clone()).await;
        unchanged_after_a_failed_step(&metastore, &fails).await;
    }
}

#[tokio::test]
async fn turso_is_unchanged_after_a_failed_step() {
    let folder = tempfile::tempdir().unwrap();
    for step in STEPS {
        let fails = fails_at(step);
        let metastore = turso::open_with(folder.path().join(step.name()), fails.clone()).await;
        unchanged_after_a_failed_step(&metastore, &fails).await;
    }
}

#[tokio::test]
async fn memory_is_unchanged_after_a_failed_step() {
    for step in STEPS {
        let fails = fails_at(step);
        let metastore = MemoryMetastore::new(Arc::clone(&fails) as Arc<dyn Steps>);
        unchanged_after_a_failed_step(&metastore, &fails).await;
    }
}

async fn unchanged_after_a_failed_step(metastore: &dyn Metastore, fails: &FailsAt) {
    let samples = Samples::new(1);
    fill(metastore, &samples).await;
    let of = table(metastore, &samples, "t").await;
    let mut new = samples.table("new");
    new.begins = Beginning::FirstRows(Box::new(append(&samples, (new.id, WriterEpoch::NONE))));
    let mut taking = samples.table("taking its place");
    taking.replaces = Some(of);
    let mut file = samples.data_file();
    file.file.added_at = Sequence::new(3).unwrap();
    let state = TableState { sequence: file.file.added_at, files: vec![file], ..TableState::default() };
    taking.begins = Beginning::Restored(Box::new(samples.restored(state)));
    let commits = [append(&samples, of), append(&samples, of)];
    let writer = samples.writer();
    let before = contents(metastore).await.unwrap();

    fails.armed.store(true, Ordering::SeqCst);
    let every = matches!(fails.step, Step::BeginCommit | Step::EndCommit);
    if fails.step != Step::DropTable {
        failed(metastore.commit(&commits).await);
        failed(metastore.create_table(&new).await);
    }
    if fails.step != Step::CheckRequirements {
        failed(metastore.create_table(&taking).await);
    }
    if every {
        failed(metastore.begin_writer(of.0, &writer).await);
    }
    if every || fails.step == Step::DropTable {
        failed(metastore.drop_table(of.0, of.1).await);
    }
    assert_eq!(contents(metastore).await.unwrap(), before, "at {}", fails.step);

    fails.armed.store(false, Ordering::SeqCst);
    assert_eq!(metastore.commit(&commits).await.unwrap().len(), 2);
    assert_eq!(metastore.create_table(&new).await.unwrap().sequence.number(), 1);
    let epoch = metastore.begin_writer(of.0, &writer).await.unwrap();
    taking.replaces = Some((of.0, epoch));
    assert_eq!(metastore.create_table(&taking).await.unwrap().sequence.number(), 3);
    metastore.drop_table(new.id, WriterEpoch::NONE).await.unwrap();
    contents(metastore).await.unwrap();
    metastore.close().await.unwrap();
}

fn failed<T>(result: Result<T>) {
    assert_eq!(result.err().map(|error| error.stable_code()), Some("failpoint"));
}
