//! Every named step is made to fail: an error means that nothing changed, and the next attempt works.

use std::sync::Arc;

use cayenne_format::Step;
use cayenne_table::CheckDepth;
use cayenne_testkit::{FailingStep, files_only, numbers, numbers_schema, stream_of};

use crate::fixture::{existing, files_on_disk, name, open, open_with_steps, read, rows, sum, table};

/// Steps that a write takes before it is decided; a failure there must undo it.
pub(crate) const WRITE_STEPS: &[Step] = &[
    Step::CreateDataFile,
    Step::WriteDataFile,
    Step::SyncDataFile,
    Step::SyncFolder,
    Step::HandCommit,
    Step::BeginCommit,
    Step::CheckRequirements,
    Step::ApplyChanges,
    Step::EndCommit,
];

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_fails_at_any_step_changes_nothing_and_leaves_nothing() {
    for step in WRITE_STEPS {
        let folder = tempfile::tempdir().unwrap();
        let steps = Arc::new(FailingStep::default());
        let database = open_with_steps(folder.path(), Arc::clone(&steps) as _).await;
        let t = table(&database, "t").await;
        t.append(rows(0..100)).await.unwrap();

        steps.arm(*step);
        let error = t.append(rows(100..200)).await.expect_err(step.name());
        assert!(steps.disarm(), "{step} was never reached");
        assert_eq!(read(&t).await, sum(0..100), "{step}: {error:?}");

        steps.arm(*step);
        t.overwrite(rows(7..9)).await.expect_err(step.name());
        assert!(steps.disarm(), "{step} was never reached");
        assert_eq!(read(&t).await, sum(0..100), "{step}");

        assert_eq!(files_on_disk(folder.path()).len(), 1, "{step} left files behind");
        t.append(rows(100..150)).await.unwrap();
        assert_eq!(read(&t).await, sum(0..150), "{step}");
        database.close().await.unwrap();
        let database = open(folder.path()).await;
        assert_eq!(read(&*existing(&database, "t").await).await, sum(0..150), "{step}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_whose_making_fails_at_any_step_was_never_there() {
    let steps_of_making = [Step::CreateTableFolder, Step::WriteTableMarker].iter().chain(WRITE_STEPS);
    for step in steps_of_making.filter(|step| **step != Step::CheckRequirements) {
        let folder = tempfile::tempdir().unwrap();
        let steps = Arc::new(FailingStep::default());
        let database = open_with_steps(folder.path(), Arc::clone(&steps) as _).await;
        let make = || {
            let streams = vec![stream_of(vec![numbers(0..10)])];
            let database = Arc::clone(&database);
            async move { database.create_table_with(&name("t"), &numbers_schema(), files_only(), streams).await }
        };
        steps.arm(*step);
        make().await.expect_err(step.name());
        assert!(steps.disarm(), "{step} was never reached");
        assert!(database.table(&name("t")).await.unwrap().is_none(), "{step}");
        assert_eq!(read(&make().await.unwrap()).await, sum(0..10), "{step}");
        let collected = database.collect(true).await.unwrap();
        assert_eq!(collected.folders.len(), 0, "{step} left {collected:?}");
        assert_eq!(files_on_disk(folder.path()).len(), 1, "{step}");
        assert!(database.check(CheckDepth::Deep).await.unwrap().problems.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_stream_commits_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let database = open(folder.path()).await;
    let t = table(&database, "t").await;
    t.append(rows(0..10)).await.unwrap();
    let broken = futures::stream::iter([Ok(numbers(10..20)), Err(cayenne_format::Error::invalid("source broke"))]);
    let error = t.append(vec![Box::pin(broken), stream_of(vec![numbers(0..5)])]).await.unwrap_err();
    assert_eq!(error.message(), "source broke");
    assert_eq!(read(&t).await, sum(0..10));
    assert_eq!(files_on_disk(folder.path()).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_file_fails_its_table_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let database = open(folder.path()).await;
    table(&database, "good").await.append(rows(0..10)).await.unwrap();
    let t = table(&database, "t").await;
    t.append(rows(0..1_000)).await.unwrap();
    let file = t.view().await.unwrap().files().next().unwrap().clone();
    database.close().await.unwrap();
    let path = folder.path().join("data").join(&t.record().location).join(format!("{}.vortex", file.id));
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    std::fs::write(&path, bytes).unwrap();

    let database = open(folder.path()).await;
    let t = existing(&database, "t").await;
    let view = t.view().await.unwrap();
    let error = crate::fixture::read_view(&t, &view).await.unwrap_err();
    assert_eq!(error.stable_code(), "damaged-block", "{error:?}");
    assert!(error.to_string().contains(&file.id.to_string()), "{error}");
    assert_eq!(read(&*existing(&database, "good").await).await, sum(0..10));
    assert_eq!(database.check(CheckDepth::Quick).await.unwrap().problems.len(), 0);
    let report = database.check(CheckDepth::Deep).await.unwrap();
    assert_eq!(report.problems.len(), 1);
    assert_eq!(report.problems[0].table, name("t"));
    std::fs::remove_file(&path).unwrap();
    assert_eq!(database.check(CheckDepth::Quick).await.unwrap().problems.len(), 1);
}
