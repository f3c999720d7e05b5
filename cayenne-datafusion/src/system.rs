//! Tables that tell of tables: files, deletions, snapshots, caches.

use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray, UInt64Array};
use arrow_schema::{Field, Schema};
use cayenne_format::{CommitRecord, DataFile, DeletionFile, Location};
use cayenne_metastore::TableRecord;
use cayenne_table::{Database, Table};
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use datafusion::error::Result;

use crate::error::external;

/// The names of the tables of the schema `system`.
pub(crate) const NAMES: [&str; 5] = ["tables", "files", "deletes", "snapshots", "caches"];

/// Returns a table of the schema `system`.
pub(crate) async fn table(database: &Arc<Database>, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
    let batch = match name {
        "tables" => tables(database).await?,
        "files" => files(&every_table(database).await?).await?,
        "deletes" => deletes(&every_table(database).await?).await?,
        "snapshots" => snapshots(&every_table(database).await?).await?,
        "caches" => caches(database)?,
        _ => return Ok(None),
    };
    Ok(Some(in_memory(batch)?))
}

/// Returns `t$files`, `t$deletes` or `t$snapshots` of a table.
pub(crate) async fn aspect_of(table: &Arc<Table>, aspect: &str) -> Result<Option<Arc<dyn TableProvider>>> {
    let one = std::slice::from_ref(table);
    let batch = match aspect {
        "files" => files(one).await?,
        "deletes" => deletes(one).await?,
        "snapshots" => snapshots(one).await?,
        _ => return Ok(None),
    };
    Ok(Some(in_memory(batch)?))
}

fn in_memory(batch: RecordBatch) -> Result<Arc<dyn TableProvider>> {
    Ok(Arc::new(MemTable::try_new(batch.schema(), vec![vec![batch]])?))
}

async fn every_table(database: &Arc<Database>) -> Result<Vec<Arc<Table>>> {
    let mut tables = Vec::new();
    for record in database.tables().await.map_err(external)? {
        // A table that is dropped meanwhile has nothing to tell.
        tables.extend(database.table(&record.name).await.map_err(external)?);
    }
    Ok(tables)
}

/// Gathers the columns of a system table.
#[derive(Default)]
struct Columns {
    fields: Vec<Field>,
    arrays: Vec<ArrayRef>,
}

impl Columns {
    fn add(mut self, name: &str, array: ArrayRef) -> Self {
        self.fields.push(Field::new(name, array.data_type().clone(), array.is_nullable()));
        self.arrays.push(array);
        self
    }

    fn text<T: ToString>(self, name: &str, values: impl IntoIterator<Item = T>) -> Self {
        self.text_or_null(name, values.into_iter().map(Some))
    }

    fn text_or_null<T: ToString>(self, name: &str, values: impl IntoIterator<Item = Option<T>>) -> Self {
        let values = values.into_iter().map(|value| value.map(|value| value.to_string()));
        self.add(name, Arc::new(values.collect::<StringArray>()))
    }

    fn count(self, name: &str, values: impl IntoIterator<Item = Option<u64>>) -> Self {
        self.add(name, Arc::new(values.into_iter().collect::<UInt64Array>()))
    }

    fn time(self, name: &str, values: impl IntoIterator<Item = i64>) -> Self {
        let times = TimestampMicrosecondArray::from_iter_values(values).with_timezone("UTC");
        debug_assert_eq!(times.timezone(), Some("UTC"));
        self.add(name, Arc::new(times))
    }

    fn finish(self) -> Result<RecordBatch> {
        Ok(RecordBatch::try_new(Arc::new(Schema::new(self.fields)), self.arrays)?)
    }
}

async fn tables(database: &Arc<Database>) -> Result<RecordBatch> {
    let mut records: Vec<TableRecord> = Vec::new();
    let mut views = Vec::new();
    for table in every_table(database).await? {
        views.push(table.view().await.map_err(external)?);
        records.push(table.record().clone());
    }
    let snapshots = || views.iter().map(|view| view.snapshot());
    Columns::default()
        .text("name", records.iter().map(|record| &record.name))
        .text("id", records.iter().map(|record| record.id))
        .count("sequence", snapshots().map(|snapshot| Some(snapshot.sequence().number())))
        .count("rows", snapshots().map(cayenne_format::Snapshot::visible_rows))
        .count("files", snapshots().map(|snapshot| Some(snapshot.files().len() as u64)))
        .count("bytes", snapshots().map(|snapshot| Some(snapshot.stored_bytes())))
        .text("location", records.iter().map(|record| &record.location))
        .text("compression", records.iter().map(|record| record.options.compression))
        .time("made_at", records.iter().map(|record| record.made_at.0))
        .finish()
}

async fn files(tables: &[Arc<Table>]) -> Result<RecordBatch> {
    let mut rows: Vec<(String, Arc<DataFile>, u64)> = Vec::new();
    for table in tables {
        let view = table.view().await.map_err(external)?;
        let hidden = |file: &DataFile| view.snapshot().hidden_rows_of(file.id);
        rows.extend(view.files().map(|file| (table.name().to_string(), Arc::clone(file), hidden(file))));
    }
    let files = || rows.iter().map(|(_, file, _)| file);
    Columns::default()
        .text("table_name", rows.iter().map(|(table, _, _)| table))
        .text("file_id", files().map(|file| file.id))
        .text(
            "location",
            files().map(|file| match &file.location {
                Location::Path(name) => name.as_str(),
                Location::Inline(_) => "inline",
            }),
        )
        .count("rows", files().map(|file| Some(file.rows)))
        .count("hidden_rows", rows.iter().map(|(_, _, hidden)| Some(*hidden)))
        .count("bytes", files().map(|file| Some(file.bytes)))
        .count("added_at", files().map(|file| Some(file.added_at.number())))
        .text("hash", files().map(|file| file.hash))
        .finish()
}

async fn deletes(tables: &[Arc<Table>]) -> Result<RecordBatch> {
    let mut rows: Vec<(String, Arc<DeletionFile>)> = Vec::new();
    for table in tables {
        let view = table.view().await.map_err(external)?;
        rows.extend(view.snapshot().deletions().map(|deletion| (table.name().to_string(), Arc::clone(deletion))));
    }
    let deletions = || rows.iter().map(|(_, deletion)| deletion);
    let path = |deletion: &Arc<DeletionFile>| match &deletion.location {
        Location::Path(path) => Some(path.clone()),
        Location::Inline(_) => None,
    };
    // How long a file is, only the disk knows.
    let bytes = |deletion: &Arc<DeletionFile>| match &deletion.location {
        Location::Path(_) => None,
        Location::Inline(bytes) => Some(bytes.len() as u64),
    };
    Columns::default()
        .text("table_name", rows.iter().map(|(table, _)| table))
        .text("file_id", deletions().map(|deletion| deletion.data_file))
        .text("deletion_id", deletions().map(|deletion| deletion.id))
        .count("sequence", deletions().map(|deletion| Some(deletion.sequence.number())))
        .count("rows_hidden", deletions().map(|deletion| Some(deletion.rows)))
        .count("bytes", deletions().map(bytes))
        .text_or_null("path", deletions().map(path))
        .finish()
}

async fn snapshots(tables: &[Arc<Table>]) -> Result<RecordBatch> {
    let mut rows: Vec<(String, CommitRecord)> = Vec::new();
    for table in tables {
        let log = table.log().await.map_err(external)?;
        rows.extend(log.into_iter().map(|record| (table.name().to_string(), record)));
    }
    let records = || rows.iter().map(|(_, record)| record);
    Columns::default()
        .text("table_name", rows.iter().map(|(table, _)| table))
        .count("sequence", records().map(|record| Some(record.sequence.number())))
        .text("operation", records().map(|record| record.operation))
        .time("made_at", records().map(|record| record.made_at.0))
        .text("commit_id", records().map(|record| record.id))
        .count("files_added", records().map(|record| Some(record.files_added)))
        .count("files_removed", records().map(|record| Some(record.files_removed)))
        .count("rows_added", records().map(|record| Some(record.rows_added)))
        .count("rows_hidden", records().map(|record| Some(record.rows_hidden)))
        .finish()
}

fn caches(database: &Arc<Database>) -> Result<RecordBatch> {
    let segments = database.storage().cache();
    let asked = segments.hits.saturating_add(segments.misses);
    #[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
    let ratio = (asked > 0).then(|| segments.hits as f64 / asked as f64);
    Columns::default()
        .text("name", ["segments"])
        .count("capacity_bytes", [Some(segments.capacity_bytes)])
        .count("bytes", [Some(segments.bytes)])
        .count("entries", [Some(segments.entries)])
        .count("hits", [Some(segments.hits)])
        .count("misses", [Some(segments.misses)])
        .add("hit_ratio", Arc::new(Float64Array::from(vec![ratio])))
        .finish()
}
