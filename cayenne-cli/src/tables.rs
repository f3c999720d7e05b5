//! `cayenne tables`: what is in the database.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, StringArray, UInt64Array};
use cayenne_format::{Error, Result};
use cayenne_table::Database;

use crate::exit::{self, Failure};
use crate::output;
use crate::terminal::Terminal;

/// Prints one row per table.
pub(crate) async fn run(database: &Database, terminal: &mut Terminal) -> Result<u8, Failure> {
    output::print_batch(list(database).await?, terminal)?;
    Ok(exit::OK)
}

/// Returns one row per table, ordered by name.
async fn list(database: &Database) -> Result<RecordBatch> {
    let mut names = Vec::new();
    let (mut rows, mut files, mut bytes, mut sequences) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for record in database.tables().await? {
        // A table that was dropped since is no longer listed.
        let Some(table) = database.table(&record.name).await? else { continue };
        let view = table.view().await?;
        names.push(record.name.to_string());
        rows.push(view.snapshot().visible_rows());
        files.push(view.files().len() as u64);
        bytes.push(view.snapshot().stored_bytes());
        sequences.push(view.sequence().number());
    }
    let columns: [(&str, ArrayRef, bool); 5] = [
        ("name", Arc::new(StringArray::from(names)), false),
        ("rows", Arc::new(UInt64Array::from(rows)), true),
        ("files", Arc::new(UInt64Array::from(files)), false),
        ("bytes", Arc::new(UInt64Array::from(bytes)), false),
        ("sequence", Arc::new(UInt64Array::from(sequences)), false),
    ];
    RecordBatch::try_from_iter_with_nullable(columns)
        .map_err(|error| Error::internal("the list of tables has no shape").because(error))
}
