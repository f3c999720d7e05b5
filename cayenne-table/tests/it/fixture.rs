//! A database in a folder of its own, and short words for what the tests do with it.

use std::path::Path;
use std::sync::Arc;

use arrow_array::RecordBatch;
use cayenne_format::{Environment, Result, Steps, TableName};
use cayenne_storage::RowStream;
use cayenne_table::{Database, DatabaseSettings, PinnedView, Table};
use cayenne_testkit::{files_only, numbers, numbers_schema, stream_of, sum_of};
use futures::TryStreamExt;
use tempfile::TempDir;

pub(crate) fn name(text: &str) -> TableName {
    TableName::try_from(text).unwrap()
}

pub(crate) fn rows(range: std::ops::Range<i64>) -> Vec<RowStream> {
    vec![stream_of(vec![numbers(range)])]
}

/// Queries the metastore with every view, so that tests need not wait. Tables are compacted on demand only, so that
/// tests know which files exist.
pub(crate) fn settings() -> DatabaseSettings {
    DatabaseSettings { poll_interval: std::time::Duration::ZERO, has_upkeep: false, ..DatabaseSettings::default() }
}

pub(crate) async fn open(root: &Path) -> Arc<Database> {
    Database::builder(root).settings(settings()).open().await.unwrap()
}

pub(crate) async fn open_with_steps(root: &Path, steps: Arc<dyn Steps>) -> Arc<Database> {
    let environment = Environment { steps, ..Environment::default() };
    Database::builder(root).settings(settings()).environment(environment).open().await.unwrap()
}

pub(crate) async fn database() -> (TempDir, Arc<Database>) {
    let folder = tempfile::tempdir().unwrap();
    let database = open(folder.path()).await;
    (folder, database)
}

pub(crate) async fn table(database: &Database, text: &str) -> Arc<Table> {
    database.create_table(&name(text), &numbers_schema(), files_only()).await.unwrap()
}

pub(crate) async fn existing(database: &Database, text: &str) -> Arc<Table> {
    database.table(&name(text)).await.unwrap().unwrap()
}

/// Reads every row of a view: how many there are, and the sum of their ids.
pub(crate) async fn read_view(table: &Table, view: &PinnedView) -> Result<(usize, i64)> {
    let mut batches: Vec<RecordBatch> = Vec::new();
    for file in view.files() {
        batches.extend(table.read(file).await?.try_collect::<Vec<_>>().await?);
    }
    let found = sum_of(&batches);
    assert_eq!(view.snapshot().visible_rows(), Some(found.0 as u64), "the exact row count equals a scan");
    Ok(found)
}

pub(crate) async fn read(table: &Table) -> (usize, i64) {
    let view = table.view().await.unwrap();
    read_view(table, &view).await.unwrap()
}

pub(crate) fn sum(range: std::ops::Range<i64>) -> (usize, i64) {
    (usize::try_from(range.end - range.start).unwrap(), range.sum())
}

/// Lists the data files below a folder.
pub(crate) fn files_on_disk(root: &Path) -> Vec<String> {
    data_on_disk(root, ".vortex")
}

/// Lists the files below the data folder whose names end with `end`.
pub(crate) fn data_on_disk(root: &Path, end: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![root.join("data")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else if entry.file_name().to_string_lossy().ends_with(end) {
                found.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
    }
    found.sort();
    found
}
