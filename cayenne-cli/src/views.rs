//! Views of SQL, for commands that take the name of a table and find a view.

use std::sync::Arc;

use arrow_array::{ArrayRef, BooleanArray, RecordBatch, StringArray};
use cayenne_datafusion::view_statement;
use cayenne_format::{Error, TableName};
use cayenne_table::{Database, SqlView};
use serde_json::json;

use crate::args::Format;
use crate::engine::Engine;
use crate::exit::Failure;
use crate::output;
use crate::terminal::Terminal;

/// Prints the description of a view: its statement, and its columns as they were when it was created.
pub(crate) fn describe(view: &SqlView, as_json: bool, terminal: &mut Terminal) -> Result<(), Failure> {
    if as_json || matches!(terminal.format, Format::Json | Format::Ndjson) {
        let columns = view.columns.fields().iter().map(|field| {
            json!({ "name": field.name(), "type": field.data_type().to_string(), "nullable": field.is_nullable() })
        });
        let object = json!({
            "name": view.name.as_str(),
            "kind": "view",
            "statement": view_statement(view),
            "columns": columns.collect::<Vec<_>>(),
        });
        return terminal.write(format!("{object}\n").as_bytes());
    }
    let shapeless = |error| Error::internal("the description of a view has no shape").because(error);
    for section in [properties(view), columns(view)] {
        output::print_batch(section.map_err(shapeless)?, terminal)?;
    }
    Ok(())
}

fn properties(view: &SqlView) -> Result<RecordBatch, arrow_schema::ArrowError> {
    let columns: [(&str, ArrayRef); 2] = [
        ("property", Arc::new(StringArray::from(vec!["view", "statement"]))),
        ("value", Arc::new(StringArray::from(vec![view.name.to_string(), view_statement(view)]))),
    ];
    RecordBatch::try_from_iter(columns)
}

fn columns(view: &SqlView) -> Result<RecordBatch, arrow_schema::ArrowError> {
    let fields = view.columns.fields();
    let types = fields.iter().map(|field| field.data_type().to_string());
    let nullable: Vec<bool> = fields.iter().map(|field| field.is_nullable()).collect();
    let columns: [(&str, ArrayRef); 3] = [
        ("column", Arc::new(StringArray::from_iter_values(fields.iter().map(|field| field.name())))),
        ("type", Arc::new(StringArray::from_iter_values(types))),
        ("nullable", Arc::new(BooleanArray::from(nullable))),
    ];
    RecordBatch::try_from_iter(columns)
}

/// Returns the view with this name, if no table has it.
pub(crate) async fn find(database: &Database, name: &str) -> Result<Option<SqlView>, Error> {
    // A name that is invalid for a table is invalid for a view too. The lookup of the table reports the error.
    let Ok(name) = TableName::try_from(name) else { return Ok(None) };
    if database.table(&name).await?.is_some() { Ok(None) } else { database.view(&name).await }
}

/// Prints a note for each view that can no longer be planned. That is not damage: something that it reads was dropped
/// or changed.
pub(crate) async fn note_broken(engine: &Engine, terminal: &Terminal) -> Result<(), Failure> {
    for view in engine.database.views().await? {
        let quoted = view.name.as_str().replace('"', "\"\"");
        let query = format!("SELECT * FROM \"{quoted}\"");
        let planned = async { cayenne_datafusion::sql(&engine.session, &query).await?.create_physical_plan().await };
        if let Err(error) = planned.await {
            let error = cayenne_datafusion::error_of(error);
            let found = error.facts().find(|(name, _)| *name == "found").map(|(_, found)| found.to_owned());
            let why = found.unwrap_or_else(|| error.message().to_owned());
            terminal.note(&format!("view {} cannot be read: {why}", view.name));
        }
    }
    Ok(())
}
