//! `cayenne describe`: shows one table as text or as one JSON object.

use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, RecordBatch, StringArray, TimestampMicrosecondArray, UInt64Array};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use cayenne_format::{DataFile, Error, Location, Result, TableName, Timestamp};
use cayenne_table::{Database, PinnedView, Table};
use serde_json::{Value, json};

use crate::args::{DescribeArgs, Format};
use crate::exit::{self, Failure};
use crate::figures::grouped;
use crate::output;
use crate::terminal::Terminal;
use crate::views;

/// Prints the description of a table or a view.
pub(crate) async fn run(database: &Database, args: &DescribeArgs, terminal: &mut Terminal) -> Result<u8, Failure> {
    if let Some(view) = views::find(database, &args.table).await? {
        views::describe(&view, args.json, terminal)?;
        return Ok(exit::OK);
    }
    let table = find(database, &args.table).await?;
    let view = table.view().await?;
    let known = Known::of(&table, &view, args.files).await;
    if args.json || matches!(terminal.format, Format::Json | Format::Ndjson) {
        terminal.write(format!("{}\n", object(&table, &view, &known)).as_bytes())?;
        return Ok(exit::OK);
    }
    for section in [properties(&table, &view, &known), columns(&table), files(&known)] {
        output::print_batch(section.map_err(shapeless)?, terminal)?;
    }
    let omitted = view.files().len().saturating_sub(args.files);
    if omitted > 0 {
        terminal.note(&format!("{} more data files; --files N lists them", grouped(omitted as u64)));
    }
    Ok(exit::OK)
}

/// The row counts of a table; `None` where a deletion file cannot be read.
struct Known {
    rows: Option<u64>,
    /// The first data files, each with its number of hidden rows.
    files: Vec<(Arc<DataFile>, Option<u64>)>,
}

impl Known {
    async fn of(table: &Table, view: &PinnedView, files: usize) -> Self {
        let mut known = Self { rows: table.visible_rows(view).await.ok(), files: Vec::new() };
        for file in view.files().take(files) {
            known.files.push((Arc::clone(file), table.hidden_rows_of(view, file).await.ok()));
        }
        known
    }

    fn hidden_rows(&self, view: &PinnedView) -> Option<u64> {
        Some(view.snapshot().stored_rows().saturating_sub(self.rows?))
    }
}

/// Returns the table with this name.
pub(crate) async fn find(database: &Database, name: &str) -> Result<Arc<Table>> {
    let name = TableName::try_from(name)?;
    database.table(&name).await?.ok_or_else(|| {
        Error::not_found("there is no such table")
            .code("no-table")
            .with("table", name)
            .with("database", database.root().display())
            .help("`cayenne tables` lists the tables")
    })
}

fn shapeless(error: arrow_schema::ArrowError) -> Error {
    Error::internal("the description of a table has no shape").because(error)
}

/// Returns the JSON object of a table. The README promises its keys; new ones may be added.
fn object(table: &Table, view: &PinnedView, known: &Known) -> Value {
    let record = table.record();
    let fields = table.schema().fields().iter().map(|field| {
        json!({
            "name": field.name(),
            "type": field.data_type().to_string(),
            "nullable": field.is_nullable(),
            "default": record.options.column_defaults.get(field.name()),
        })
    });
    let options: serde_json::Map<_, _> =
        record.options.to_pairs().into_iter().map(|(name, value)| (name.to_owned(), Value::from(value))).collect();
    json!({
        "name": record.name.as_str(),
        "id": record.id.to_string(),
        "location": record.location,
        "made_at": time_text(record.made_at),
        "sequence": view.sequence().number(),
        "rows": known.rows,
        "hidden_rows": known.hidden_rows(view),
        "files": view.files().len(),
        "bytes": view.snapshot().stored_bytes(),
        "read_amplification": reads_object(view),
        "columns": fields.collect::<Vec<_>>(),
        "options": options,
        "data_files": known.files.iter().map(|(file, hidden)| file_object(file, *hidden)).collect::<Vec<_>>(),
        "data_files_omitted": view.files().len().saturating_sub(known.files.len()),
    })
}

fn reads_object(view: &PinnedView) -> Value {
    let reads = view.read_amplification();
    json!({
        "total": reads.total(),
        "files": reads.files,
        "inline_files": reads.inline_files,
        "deletions": reads.deletions,
        "layers": reads.layers,
    })
}

fn file_object(file: &DataFile, hidden: Option<u64>) -> Value {
    json!({
        "id": file.id.to_string(),
        "path": path_of(file),
        "rows": file.rows,
        "hidden_rows": hidden,
        "bytes": file.bytes,
        "added_at": file.added_at.number(),
    })
}

/// Returns the path within the folder of the table, or `None` for an inline data file.
fn path_of(file: &DataFile) -> Option<&str> {
    match &file.location {
        Location::Path(path) => Some(path),
        Location::Inline(_) => None,
    }
}

/// Formats a time as Arrow does, which is how rows show it.
fn time_text(time: Timestamp) -> String {
    let array = TimestampMicrosecondArray::from(vec![time.0]).with_timezone("UTC");
    ArrayFormatter::try_new(&array, &FormatOptions::new()).map(|text| text.value(0).to_string()).unwrap_or_default()
}

fn properties(table: &Table, view: &PinnedView, known: &Known) -> Result<RecordBatch, arrow_schema::ArrowError> {
    let record = table.record();
    let text = |rows: Option<u64>| rows.map_or_else(|| "unknown".to_owned(), |rows| rows.to_string());
    let mut pairs = vec![
        ("table", record.name.to_string()),
        ("id", record.id.to_string()),
        ("location", record.location.clone()),
        ("made at", time_text(record.made_at)),
        ("sequence", view.sequence().to_string()),
        ("rows", text(known.rows)),
        ("hidden rows", text(known.hidden_rows(view))),
        ("files", view.files().len().to_string()),
        ("bytes", view.snapshot().stored_bytes().to_string()),
        ("read amplification", view.read_amplification().total().to_string()),
    ];
    pairs.extend(record.options.to_pairs());
    let names = pairs.iter().map(|(name, _)| *name);
    let columns: [(&str, ArrayRef); 2] = [
        ("property", Arc::new(StringArray::from_iter_values(names))),
        ("value", Arc::new(StringArray::from_iter_values(pairs.iter().map(|(_, value)| value)))),
    ];
    RecordBatch::try_from_iter(columns)
}

fn columns(table: &Table) -> Result<RecordBatch, arrow_schema::ArrowError> {
    let fields = table.schema().fields();
    let types = fields.iter().map(|field| field.data_type().to_string());
    let nullable: Vec<bool> = fields.iter().map(|field| field.is_nullable()).collect();
    let defaults = &table.options().column_defaults;
    let defaults = fields.iter().map(|field| defaults.get(field.name())).collect::<StringArray>();
    let columns: [(&str, ArrayRef); 4] = [
        ("column", Arc::new(StringArray::from_iter_values(fields.iter().map(|field| field.name())))),
        ("type", Arc::new(StringArray::from_iter_values(types))),
        ("nullable", Arc::new(BooleanArray::from(nullable))),
        ("default", Arc::new(defaults)),
    ];
    RecordBatch::try_from_iter(columns)
}

fn files(known: &Known) -> Result<RecordBatch, arrow_schema::ArrowError> {
    let listed = &known.files;
    let number = |number: fn(&DataFile) -> u64| -> ArrayRef {
        Arc::new(UInt64Array::from_iter_values(listed.iter().map(|(file, _)| number(file))))
    };
    let hidden = Arc::new(listed.iter().map(|(_, hidden)| *hidden).collect::<UInt64Array>()) as ArrayRef;
    let ids = listed.iter().map(|(file, _)| file.id.to_string());
    let columns = [
        ("data file", Arc::new(StringArray::from_iter_values(ids)) as ArrayRef),
        ("rows", number(|file| file.rows)),
        ("hidden", hidden),
        ("bytes", number(|file| file.bytes)),
        ("added at", number(|file| file.added_at.number())),
    ];
    RecordBatch::try_from_iter(columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_in_utc() {
        assert_eq!(time_text(Timestamp(0)), "1970-01-01T00:00:00Z");
    }
}
