//! Several tables change in one commit, or none does.

use std::sync::Arc;

use cayenne_format::{Error, ErrorKind, Step};
use cayenne_storage::RowStream;
use cayenne_table::{CheckDepth, Database, Table, TableWrite};
use cayenne_testkit::FailingStep;
use futures::{StreamExt, stream};

use crate::failure::WRITE_STEPS;
use crate::fixture::{database, existing, files_on_disk, open, open_with_steps, read, rows, sum, table};

#[tokio::test(flavor = "multi_thread")]
async fn each_write_does_what_it_does_alone() {
    let (folder, database) = database().await;
    let [a, b, c] = three(&database).await;
    let writes =
        vec![TableWrite::truncate(&c), TableWrite::append(&b, rows(100..110)), TableWrite::overwrite(&a, rows(7..9))];
    let written = database.write_together(writes).await.unwrap();
    let counts: Vec<_> = written.iter().map(|written| (written.rows, written.rows_removed, written.files)).collect();
    assert_eq!(counts, [(0, 10, 0), (10, 0, 1), (2, 10, 1)], "in the order in which they were asked for");
    assert_eq!([read(&a).await, read(&b).await, read(&c).await], [sum(7..9), sum_of([0..10, 100..110]), (0, 0)]);
    drop((a, b, c, database));
    let database = open(folder.path()).await;
    assert_eq!(read(&*existing(&database, "b").await).await, sum_of([0..10, 100..110]));
    assert_eq!(read(&*existing(&database, "c").await).await, (0, 0));
}

/// Invariant: a failure at any step leaves every table unchanged, and leaves no file behind.
#[tokio::test(flavor = "multi_thread")]
async fn a_failure_at_any_step_changes_no_table() {
    // Appends require nothing.
    for step in WRITE_STEPS.iter().copied().filter(|step| *step != Step::CheckRequirements) {
        let folder = tempfile::tempdir().unwrap();
        let failing = Arc::new(FailingStep::default());
        let database = open_with_steps(folder.path(), Arc::clone(&failing) as _).await;
        let tables = three(&database).await;
        failing.arm(step);
        append_to_all(&database, &tables).await.expect_err(step.name());
        assert!(failing.disarm(), "{step} was never reached");
        for table in &tables {
            assert_eq!(read(table).await, sum(0..10), "{step}");
        }
        assert_eq!(files_on_disk(folder.path()).len(), 3, "{step} left files behind");
        append_to_all(&database, &tables).await.unwrap();
        for table in &tables {
            assert_eq!(read(table).await, sum(0..20), "{step}");
        }
        assert!(database.check(CheckDepth::Deep).await.unwrap().problems.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_fails_fails_them_all() {
    let (folder, database) = database().await;
    let [a, b, _] = three(&database).await;
    let broken: RowStream = stream::iter([Err(Error::invalid("the source broke"))]).boxed();
    let writes = vec![TableWrite::append(&a, rows(10..20)), TableWrite::append(&b, vec![broken])];
    let error = database.write_together(writes).await.unwrap_err();
    assert!(error.to_string().contains("the source broke"), "{error}");
    assert_eq!([read(&a).await, read(&b).await], [sum(0..10), sum(0..10)]);
    database.collect(true).await.unwrap();
    assert_eq!(files_on_disk(folder.path()).len(), 3);
}

/// Invariant: the commit logs have the commits of one call for all tables or for none. Callers that name the same
/// tables in different orders never wait for each other for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn callers_in_any_order_all_come_to_an_end() {
    let (_folder, database) = database().await;
    let [a, b, c] = three(&database).await;
    let orders = [[&a, &b, &c], [&c, &b, &a], [&b, &c, &a]];
    let tasks: Vec<_> = (0..12)
        .map(|turn| {
            let (database, tables) = (Arc::clone(&database), orders[turn % 3].map(Arc::clone));
            tokio::spawn(async move {
                let writes = tables.iter().map(|table| TableWrite::append(table, rows(0..3))).collect();
                database.write_together(writes).await.unwrap()
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    for table in [&a, &b, &c] {
        assert_eq!(read(table).await.0, 10 + 12 * 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_comes_once_and_belongs_to_the_database() {
    let (_folder, database) = database().await;
    let (_other_folder, other) = crate::fixture::database().await;
    let (t, foreign) = (table(&database, "t").await, table(&other, "t").await);
    for writes in [
        vec![TableWrite::append(&t, rows(0..3)), TableWrite::truncate(&t)],
        vec![TableWrite::append(&t, rows(0..3)), TableWrite::append(&foreign, rows(0..3))],
    ] {
        let error = database.write_together(writes).await.unwrap_err();
        assert_eq!((error.kind(), error.stable_code()), (ErrorKind::Invalid, "invalid-write"));
    }
    assert_eq!((read(&t).await, read(&foreign).await), ((0, 0), (0, 0)));
    assert!(database.write_together(vec![]).await.unwrap().is_empty());
}

async fn three(database: &Arc<Database>) -> [Arc<Table>; 3] {
    let tables = [table(database, "a").await, table(database, "b").await, table(database, "c").await];
    for table in &tables {
        table.append(rows(0..10)).await.unwrap();
    }
    tables
}

async fn append_to_all(database: &Arc<Database>, tables: &[Arc<Table>]) -> cayenne_format::Result<()> {
    let writes = tables.iter().map(|table| TableWrite::append(table, rows(10..20))).collect();
    database.write_together(writes).await.map(drop)
}

fn sum_of(ranges: [std::ops::Range<i64>; 2]) -> (usize, i64) {
    let [(rows, total), (more, sum_of_more)] = ranges.map(sum);
    (rows + more, total + sum_of_more)
}
