//! System tables: tables, files, deletes, snapshots, compactions, caches and metrics.

use std::sync::Arc;

use arrow_array::builder::{MapBuilder, StringBuilder};
use arrow_array::{ArrayRef, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray, UInt64Array};
use arrow_schema::{Field, Schema};
use cayenne_format::{CommitRecord, DataFile, DeletionFile, FileId, Location, Sequence, Snapshot, TombstoneFile};
use cayenne_metastore::TableRecord;
use cayenne_table::{Compacted, Database, Decline, Metric, PassRecord, Table};
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use datafusion::error::Result;

use crate::error::external;

/// The names of the tables of the schema `system`.
pub(crate) const NAMES: [&str; 7] = ["tables", "files", "deletes", "snapshots", "compactions", "caches", "metrics"];

/// Returns a table of the schema `system`.
pub(crate) async fn table(database: &Arc<Database>, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
    let batch = match name {
        "tables" => tables(database).await?,
        "files" => files(&every_table(database).await?).await?,
        "deletes" => deletes(&every_table(database).await?).await?,
        "snapshots" => snapshots(&every_table(database).await?).await?,
        "compactions" => compactions(&every_table(database).await?)?,
        "caches" => caches(database)?,
        "metrics" => metrics(database).await?,
        _ => return Ok(None),
    };
    Ok(Some(in_memory(batch)?))
}

/// Returns `t$files`, `t$deletes`, `t$snapshots` or `t$compactions` of a table.
pub(crate) async fn aspect_of(table: &Arc<Table>, aspect: &str) -> Result<Option<Arc<dyn TableProvider>>> {
    let one = std::slice::from_ref(table);
    let batch = match aspect {
        "files" => files(one).await?,
        "deletes" => deletes(one).await?,
        "snapshots" => snapshots(one).await?,
        "compactions" => compactions(one)?,
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
        // A table may be dropped between the listing and this lookup; it is left out.
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
    /// Adds a column whose values may be NULL.
    fn add(self, name: &str, array: ArrayRef) -> Self {
        self.add_field(Field::new(name, array.data_type().clone(), true), array)
    }

    /// Adds a column whose values are never NULL.
    fn add_known(self, name: &str, array: ArrayRef) -> Self {
        self.add_field(Field::new(name, array.data_type().clone(), false), array)
    }

    fn add_field(mut self, field: Field, array: ArrayRef) -> Self {
        self.fields.push(field);
        self.arrays.push(array);
        self
    }

    fn text<T: ToString>(self, name: &str, values: impl IntoIterator<Item = T>) -> Self {
        let values = values.into_iter().map(|value| Some(value.to_string()));
        self.add_known(name, Arc::new(values.collect::<StringArray>()))
    }

    fn text_or_null<T: ToString>(self, name: &str, values: impl IntoIterator<Item = Option<T>>) -> Self {
        let values = values.into_iter().map(|value| value.map(|value| value.to_string()));
        self.add(name, Arc::new(values.collect::<StringArray>()))
    }

    fn count(self, name: &str, values: impl IntoIterator<Item = u64>) -> Self {
        self.add_known(name, Arc::new(UInt64Array::from_iter_values(values)))
    }

    fn count_or_null(self, name: &str, values: impl IntoIterator<Item = Option<u64>>) -> Self {
        self.add(name, Arc::new(values.into_iter().collect::<UInt64Array>()))
    }

    fn time(self, name: &str, values: impl IntoIterator<Item = i64>) -> Self {
        let times = TimestampMicrosecondArray::from_iter_values(values).with_timezone("UTC");
        debug_assert_eq!(times.timezone(), Some("UTC"));
        self.add_known(name, Arc::new(times))
    }

    fn finish(self) -> Result<RecordBatch> {
        Ok(RecordBatch::try_new(Arc::new(Schema::new(self.fields)), self.arrays)?)
    }
}

async fn tables(database: &Arc<Database>) -> Result<RecordBatch> {
    let mut records: Vec<TableRecord> = Vec::new();
    let mut views = Vec::new();
    for table in every_table(database).await? {
        let view = table.view().await.map_err(external)?;
        // A table with a damaged deletion file is still listed, with a null row count.
        let rows = table.visible_rows(&view).await.ok();
        views.push((view, rows));
        records.push(table.record().clone());
    }
    let snapshots = || views.iter().map(|(view, _)| view.snapshot());
    Columns::default()
        .text("name", records.iter().map(|record| &record.name))
        .text("id", records.iter().map(|record| record.id))
        .count("sequence", snapshots().map(|snapshot| snapshot.sequence().number()))
        .count_or_null("rows", views.iter().map(|(_, rows)| *rows))
        .count("files", snapshots().map(|snapshot| snapshot.files().len() as u64))
        .count("bytes", snapshots().map(Snapshot::stored_bytes))
        .count("layers", views.iter().map(|(view, _)| view.read_amplification().layers))
        .count("read_amplification", views.iter().map(|(view, _)| view.read_amplification().total()))
        .text("location", records.iter().map(|record| &record.location))
        .text("compression", records.iter().map(|record| record.options.compression))
        .time("made_at", records.iter().map(|record| record.made_at.0))
        .finish()
}

async fn files(tables: &[Arc<Table>]) -> Result<RecordBatch> {
    let mut rows: Vec<(String, Arc<DataFile>, Option<u64>)> = Vec::new();
    for table in tables {
        let view = table.view().await.map_err(external)?;
        for file in view.files() {
            // A data file whose deletion file is damaged is still listed, with a null count of hidden rows.
            let hidden = table.hidden_rows_of(&view, file).await.ok();
            rows.push((table.name().to_string(), Arc::clone(file), hidden));
        }
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
        .count("rows", files().map(|file| file.rows))
        .count_or_null("hidden_rows", rows.iter().map(|(_, _, hidden)| *hidden))
        .count("bytes", files().map(|file| file.bytes))
        .count("added_at", files().map(|file| file.added_at.number()))
        .text("hash", files().map(|file| file.hash))
        .finish()
}

/// A row of `deletes`: a deletion file, which hides rows of one data file by position, or tombstones, which hide rows
/// of all earlier data files by key.
struct Hiding {
    id: FileId,
    data_file: Option<FileId>,
    sequence: Sequence,
    rows: u64,
    location: Location,
}

impl Hiding {
    fn of_deletion(deletion: &DeletionFile) -> Self {
        let DeletionFile { id, data_file, location, rows, sequence } = deletion.clone();
        Self { id, data_file: Some(data_file), sequence, rows, location }
    }

    fn of_tombstones(tombstones: &TombstoneFile) -> Self {
        let TombstoneFile { id, location, keys, sequence } = tombstones.clone();
        Self { id, data_file: None, sequence, rows: keys, location }
    }
}

async fn deletes(tables: &[Arc<Table>]) -> Result<RecordBatch> {
    let mut rows: Vec<(String, Hiding)> = Vec::new();
    for table in tables {
        let view = table.view().await.map_err(external)?;
        let snapshot = view.snapshot();
        let hiding = snapshot.deletions().map(|deletion| Hiding::of_deletion(deletion));
        let hiding = hiding.chain(snapshot.tombstones().map(|tombstones| Hiding::of_tombstones(tombstones)));
        rows.extend(hiding.map(|hiding| (table.name().to_string(), hiding)));
    }
    let hiding = || rows.iter().map(|(_, hiding)| hiding);
    let path = |hiding: &Hiding| match &hiding.location {
        Location::Path(path) => Some(path.clone()),
        Location::Inline(_) => None,
    };
    // The size of a deletion file on disk is not in the manifest.
    let bytes = |hiding: &Hiding| match &hiding.location {
        Location::Path(_) => None,
        Location::Inline(bytes) => Some(bytes.len() as u64),
    };
    Columns::default()
        .text("table_name", rows.iter().map(|(table, _)| table))
        .text_or_null("file_id", hiding().map(|hiding| hiding.data_file))
        .text("deletion_id", hiding().map(|hiding| hiding.id))
        .count("sequence", hiding().map(|hiding| hiding.sequence.number()))
        .count("rows_hidden", hiding().map(|hiding| hiding.rows))
        .count_or_null("bytes", hiding().map(bytes))
        .text_or_null("path", hiding().map(path))
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
        .count("sequence", records().map(|record| record.sequence.number()))
        .text("operation", records().map(|record| record.operation))
        .time("made_at", records().map(|record| record.made_at.0))
        .text("commit_id", records().map(|record| record.id))
        .count("files_added", records().map(|record| record.files_added))
        .count("files_removed", records().map(|record| record.files_removed))
        .count("rows_added", records().map(|record| record.rows_added))
        .count("rows_hidden", records().map(|record| record.rows_hidden))
        .finish()
}

/// The most recent compaction passes of this process, including checks that started no pass.
fn compactions(tables: &[Arc<Table>]) -> Result<RecordBatch> {
    let passes: Vec<(&Arc<Table>, PassRecord)> =
        tables.iter().flat_map(|table| table.passes().into_iter().map(move |pass| (table, pass))).collect();
    let count = |of: fn(&Compacted) -> u64| passes.iter().map(move |(_, pass)| pass.compacted.as_ref().map(of));
    let took = |pass: &PassRecord| u64::try_from(pass.took.as_millis()).unwrap_or(u64::MAX);
    Columns::default()
        .text("table_name", passes.iter().map(|(table, _)| table.name()))
        .time("began_at", passes.iter().map(|(_, pass)| pass.began_at.0))
        .count("took_ms", passes.iter().map(|(_, pass)| took(pass)))
        .text("outcome", passes.iter().map(|(_, pass)| pass.outcome.as_str()))
        .text_or_null("reason", passes.iter().map(|(_, pass)| pass.reason))
        .text_or_null("declined", passes.iter().map(|(_, pass)| pass.declined.map(Decline::as_str)))
        .count("times", passes.iter().map(|(_, pass)| pass.times))
        .count_or_null("inputs", count(|done| done.inputs as u64))
        .count_or_null("bytes_read", count(|done| done.bytes_read))
        .count_or_null("outputs", count(|done| done.outputs as u64))
        .count_or_null("bytes_written", count(|done| done.bytes_written))
        .count_or_null("rows", count(|done| done.rows))
        .count_or_null("rows_left_out", count(|done| done.rows_left_out))
        .count_or_null("sequence", count(|done| done.sequence.number()))
        .text_or_null("error", passes.iter().map(|(_, pass)| pass.error.as_ref()))
        .finish()
}

/// The current counters and gauges, one row per metric.
async fn metrics(database: &Arc<Database>) -> Result<RecordBatch> {
    // Opens every table, so that tables which this process has not used yet are included.
    every_table(database).await?;
    let metrics: Vec<Metric> = database.metrics().await;
    let mut labels = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
    for metric in &metrics {
        for (name, value) in &metric.labels {
            labels.keys().append_value(name);
            labels.values().append_value(value);
        }
        labels.append(true)?;
    }
    Columns::default()
        .text("name", metrics.iter().map(|metric| &metric.name))
        .text_or_null("table_name", metrics.iter().map(|metric| metric.table.as_ref()))
        .add_known("labels", Arc::new(labels.finish()))
        .add_known("value", Arc::new(Float64Array::from_iter_values(metrics.iter().map(|metric| metric.value))))
        .finish()
}

fn caches(database: &Arc<Database>) -> Result<RecordBatch> {
    let segments = database.storage().cache();
    let asked = segments.hits.saturating_add(segments.misses);
    #[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
    let ratio = (asked > 0).then(|| segments.hits as f64 / asked as f64);
    Columns::default()
        .text("name", ["segments"])
        .count("capacity_bytes", [segments.capacity_bytes])
        .count("bytes", [segments.bytes])
        .count("entries", [segments.entries])
        .count("hits", [segments.hits])
        .count("misses", [segments.misses])
        .add("hit_ratio", Arc::new(Float64Array::from(vec![ratio])))
        .finish()
}
