//! Tables of pairs with a primary key, and short words for what the tests do with them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use arrow_select::concat::concat_batches;
use cayenne_deletes::hide_positions;
use cayenne_format::{DeletionMode, InlineOptions, Location, Result, TableOptions};
use cayenne_storage::RowStream;
use cayenne_table::{ChangeKind, Database, RowChanges, RowPositions, SeenRows, Table, View, Written};
use cayenne_testkit::stream_of;
use futures::TryStreamExt;

use crate::fixture::name;

pub(crate) type Content = BTreeMap<i64, i64>;

/// Returns the schema of pairs: `id`, the key, and `value`.
pub(crate) fn schema() -> SchemaRef {
    let field = |name| Field::new(name, DataType::Int64, false);
    Arc::new(Schema::new(vec![field("id"), field("value")]))
}

pub(crate) fn batch(pairs: impl IntoIterator<Item = (i64, i64)>) -> RecordBatch {
    let (ids, values): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
    let columns: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(ids)), Arc::new(Int64Array::from(values))];
    RecordBatch::try_new(schema(), columns).unwrap()
}

pub(crate) fn pairs(pairs: impl IntoIterator<Item = (i64, i64)>) -> Vec<RowStream> {
    vec![stream_of(vec![batch(pairs)])]
}

/// Inline rows are flushed on demand only.
pub(crate) fn inline() -> TableOptions {
    let inline = InlineOptions {
        flush_max_rows: u64::MAX,
        flush_max_segments: 0,
        flush_max_bytes: 0,
        ..InlineOptions::default()
    };
    TableOptions { inline, ..files() }
}

/// Rows are hidden by their keys.
pub(crate) fn by_key(options: TableOptions) -> TableOptions {
    TableOptions { deletion_mode: DeletionMode::Key, ..options }
}

/// Every write becomes data files.
pub(crate) fn files() -> TableOptions {
    TableOptions { inline: InlineOptions::OFF, primary_key: vec!["id".to_owned()], ..TableOptions::default() }
}

pub(crate) async fn keyed(database: &Database, options: TableOptions) -> Arc<Table> {
    database.create_table(&name("t"), &schema(), options).await.unwrap()
}

/// Reads the visible rows of a view. Checks that no key occurs twice, and that there are as many rows as the snapshot
/// says.
pub(crate) async fn try_content(table: &Table, view: &View) -> Result<Content> {
    let mut content = Content::new();
    for file in view.files() {
        let batches: Vec<RecordBatch> = table.read(file).await?.try_collect().await?;
        let rows = concat_batches(&schema(), &batches).unwrap();
        let rows = match table.hidden(view, file).await? {
            None => rows,
            Some(hidden) => hide_positions(&rows, 0, &hidden)?,
        };
        let column = |place: usize| rows.column(place).as_primitive::<Int64Type>().values().to_vec();
        for (id, value) in column(0).into_iter().zip(column(1)) {
            assert!(content.insert(id, value).is_none(), "key {id} is visible twice at {}", view.sequence());
        }
    }
    assert_eq!(table.visible_rows(view).await?, content.len() as u64, "the exact row count equals a scan");
    Ok(content)
}

pub(crate) async fn content(table: &Table) -> Content {
    let view = table.view().await.unwrap();
    try_content(table, &view).await.unwrap()
}

pub(crate) async fn find(table: &Table, view: &View, ids: impl IntoIterator<Item = i64>) -> Result<RowPositions> {
    table.find(view, &[Arc::new(ids.into_iter().collect::<Int64Array>())]).await
}

/// Returns rows that were found, as a statement passes them on.
pub(crate) fn seen(rows: &RowPositions) -> SeenRows {
    let seen = SeenRows::default();
    for (file, rows) in rows.files() {
        seen.add(file, rows.positions());
    }
    seen
}

/// Returns changes: a pair with a value is upserted, a key without a value is deleted.
pub(crate) fn changes(all: impl IntoIterator<Item = (i64, Option<i64>)>) -> RowChanges {
    let all: Vec<_> = all.into_iter().collect();
    let kind = |value: Option<i64>| if value.is_some() { ChangeKind::Upsert } else { ChangeKind::Delete };
    RowChanges {
        kinds: all.iter().map(|(_, value)| kind(*value)).collect(),
        rows: batch(all.iter().map(|(id, value)| (*id, value.unwrap_or_default()))),
    }
}

pub(crate) async fn delete(table: &Arc<Table>, ids: impl IntoIterator<Item = i64>) -> Result<Written> {
    table.apply(vec![changes(ids.into_iter().map(|id| (id, None)))], None).await
}

/// Returns the folder of a table.
pub(crate) fn folder_of(root: &Path, table: &Table) -> PathBuf {
    root.join("data").join(&table.record().location)
}

/// Lists what lies in a folder of the folder of a table, such as `_keys`.
pub(crate) fn beside(root: &Path, table: &Table, folder: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder_of(root, table).join(folder)).into_iter().flatten();
    let mut found: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found
}

/// Returns how many files have to be next to the data files of a table: the index of each data file, and each deletion
/// file.
pub(crate) fn expected_beside(view: &View) -> (usize, usize) {
    let indexes = view.files().filter(|file| !file.is_inline()).count();
    let is_file = |location: &Location| matches!(location, Location::Path(_));
    let by_position = view.snapshot().deletions().filter(|deletion| is_file(&deletion.location)).count();
    (indexes, by_position + view.snapshot().tombstones().filter(|tombstones| is_file(&tombstones.location)).count())
}
