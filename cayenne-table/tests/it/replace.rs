//! Replacing a table is one atomic change, for every reader and after every failure.

use std::sync::Arc;

use arrow_array::{Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema};
use cayenne_format::Step;
use cayenne_table::{CheckDepth, Database, Table};
use cayenne_testkit::{FailingStep, files_only, stream_of};
use futures::TryStreamExt;

use crate::failure::WRITE_STEPS;
use crate::fixture::{existing, files_on_disk, name, open, open_with_steps, read, rows, settings, sum, table};

fn other_schema() -> Schema {
    Schema::new(vec![Field::new("text", DataType::Utf8, true), Field::new("id", DataType::Int64, true)])
}

fn other_rows() -> RecordBatch {
    let columns: Vec<arrow_array::ArrayRef> =
        vec![Arc::new(StringArray::from(vec!["a", "b"])), Arc::new(Int64Array::from(vec![1, 2]))];
    RecordBatch::try_new(Arc::new(other_schema()), columns).unwrap()
}

async fn replace(database: &Database, replaced: &Arc<Table>) -> cayenne_format::Result<Arc<Table>> {
    database.replace_table_with(replaced, &other_schema(), files_only(), vec![stream_of(vec![other_rows()])]).await
}

async fn is_other(table: &Table) -> bool {
    let view = table.view().await.unwrap();
    let mut found = 0;
    for file in view.files() {
        let batches: Vec<RecordBatch> = table.read(file).await.unwrap().try_collect().await.unwrap();
        found += batches.iter().map(RecordBatch::num_rows).sum::<usize>();
    }
    table.schema().fields().len() == 2 && found == 2
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replacement_that_fails_at_any_step_leaves_the_table_and_nothing_else() {
    let steps_of_replacing =
        [Step::CreateTableFolder, Step::WriteTableMarker, Step::DropTable].iter().chain(WRITE_STEPS);
    for step in steps_of_replacing.filter(|step| **step != Step::CheckRequirements) {
        let folder = tempfile::tempdir().unwrap();
        let steps = Arc::new(FailingStep::default());
        let database = open_with_steps(folder.path(), Arc::clone(&steps) as _).await;
        let t = table(&database, "t").await;
        t.append(rows(0..100)).await.unwrap();
        steps.arm(*step);
        replace(&database, &t).await.expect_err(step.name());
        assert!(steps.disarm(), "{step} was never reached");
        assert_eq!(read(&*existing(&database, "t").await).await, sum(0..100), "{step}");
        assert_eq!(files_on_disk(folder.path()).len(), 1, "{step} left files behind");
        // The table can still be used, and its manifest is there.
        t.append(rows(100..110)).await.unwrap();
        database.close().await.unwrap();

        let database = open(folder.path()).await;
        assert_eq!(database.collect(true).await.unwrap().folders.len(), 0, "{step}");
        let t = existing(&database, "t").await;
        assert_eq!(read(&t).await, sum(0..110), "{step}");
        assert!(is_other(&replace(&database, &t).await.unwrap()).await, "{step}");
        assert!(is_other(&*existing(&database, "t").await).await, "{step}");
        assert!(database.check(CheckDepth::Deep).await.unwrap().problems.is_empty());
        assert_eq!(files_on_disk(folder.path()).len(), 1, "{step}");
        database.close().await.unwrap();
        let database = open(folder.path()).await;
        assert!(is_other(&*existing(&database, "t").await).await, "{step}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_the_old_table_goes_on_and_who_writes_it_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let database = open(folder.path()).await;
    let t = table(&database, "t").await;
    t.append(rows(0..100)).await.unwrap();
    let view = t.view().await.unwrap();
    let new = replace(&database, &t).await.unwrap();
    assert_ne!(new.id(), t.id());
    assert_eq!(crate::fixture::read_view(&t, &view).await.unwrap(), sum(0..100));
    assert_eq!(t.view().await.unwrap_err().stable_code(), "table-dropped");
    assert_eq!(t.append(rows(0..1)).await.unwrap_err().stable_code(), "table-dropped");
    assert_eq!(t.truncate().await.unwrap_err().stable_code(), "table-dropped");
    assert_eq!(replace(&database, &t).await.unwrap_err().stable_code(), "table-dropped");
    assert_eq!(files_on_disk(folder.path()).len(), 2, "somebody reads the old file");
    drop(view);
    database.collect(true).await.unwrap();
    assert_eq!(files_on_disk(folder.path()).len(), 1);
    let locks = std::fs::read_dir(folder.path().join("metadata")).unwrap().map(|entry| entry.unwrap().path());
    let locks = locks.filter(|path| path.extension().is_some_and(|end| end == "lock")).count();
    assert_eq!(locks, 1, "a refused write left a lock");
    assert!(is_other(&new).await);
}

/// Rows may come from the replaced table itself. If a stream fails, the table stays.
#[tokio::test(flavor = "multi_thread")]
async fn a_failed_stream_leaves_the_table() {
    let folder = tempfile::tempdir().unwrap();
    let database = open(folder.path()).await;
    let t = table(&database, "t").await;
    t.append(rows(0..10)).await.unwrap();
    let broken = futures::stream::iter([Ok(other_rows()), Err(cayenne_format::Error::invalid("source broke"))]);
    let replaced = database.replace_table_with(&t, &other_schema(), files_only(), vec![Box::pin(broken)]).await;
    assert_eq!(replaced.unwrap_err().message(), "source broke");
    assert_eq!(read(&t).await, sum(0..10));
    let view = t.view().await.unwrap();
    let file = view.files().next().unwrap();
    let own = t.read(file).await.unwrap();
    let new = database.replace_table_with(&t, t.schema(), files_only(), vec![own]).await.unwrap();
    drop(view);
    assert_eq!(read(&new).await, sum(0..10));
}

/// Another process finds the table at every moment, either the old or the new one.
#[tokio::test(flavor = "multi_thread")]
async fn another_process_never_finds_no_table() {
    let folder = tempfile::tempdir().unwrap();
    let database = open(folder.path()).await;
    let mut t = table(&database, "t").await;
    t.append(rows(0..100)).await.unwrap();
    let reader = Database::builder(folder.path()).settings(settings()).access(cayenne_table::Access::ReadOnly);
    let reader = reader.open().await.unwrap();
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let has_stopped = Arc::clone(&stop);
    let reads = tokio::spawn(async move {
        let mut looks = 0;
        while !has_stopped.load(std::sync::atomic::Ordering::Relaxed) {
            let found = reader.table(&name("t")).await.unwrap();
            assert!(found.is_some(), "there was no table");
            looks += 1;
        }
        assert!(looks > 0);
        reader.close().await.unwrap();
    });
    for _ in 0..20 {
        t = replace(&database, &t).await.unwrap();
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    reads.await.unwrap();
}

/// Rows of writes that were under way belong to the old table, and are dropped with it. The writes report what
/// happened.
#[tokio::test(flavor = "multi_thread")]
async fn writes_under_way_are_waited_for_or_told() {
    let folder = tempfile::tempdir().unwrap();
    let database = open(folder.path()).await;
    let t = table(&database, "t").await;
    t.append(rows(0..10)).await.unwrap();
    let writes: Vec<_> = (0..8)
        .map(|_| {
            let t = Arc::clone(&t);
            tokio::spawn(async move { t.append(rows(0..10)).await })
        })
        .collect();
    let new = replace(&database, &t).await.unwrap();
    for write in writes {
        if let Err(error) = write.await.unwrap() {
            assert_eq!(error.stable_code(), "table-dropped", "{error:?}");
        }
    }
    assert!(is_other(&new).await);
    database.collect(true).await.unwrap();
    assert_eq!(files_on_disk(folder.path()).len(), 1);
    assert!(database.check(CheckDepth::Deep).await.unwrap().problems.is_empty());
}
