//! `cayenne collect`: removes what no table names.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, StringArray};
use cayenne_format::Error;
use cayenne_table::Collected;

use crate::engine::Engine;
use crate::exit::{self, Failure};
use crate::figures::{counted, size};
use crate::output;
use crate::terminal::Terminal;

/// Prints one row per thing that was removed, or would be.
pub(crate) async fn run(engine: &Engine, remove: bool, terminal: &mut Terminal) -> Result<u8, Failure> {
    let collected = engine.database.collect(remove).await?;
    output::print_batch(list(&collected, remove)?, terminal)?;
    let verb = if remove { "removed" } else { "would remove" };
    let files = counted(collected.files.len() as u64, "file");
    let folders = counted(collected.folders.len() as u64, "folder");
    terminal.note(&format!("{verb} {files} ({}) and {folders}", size(collected.bytes)));
    if !collected.busy.is_empty() {
        let busy = counted(collected.busy.len() as u64, "table");
        terminal.note(&format!("passed over {busy} that another process writes"));
    }
    Ok(exit::OK)
}

fn list(collected: &Collected, remove: bool) -> Result<RecordBatch, Error> {
    let found: Vec<_> = collected.findings(remove).collect();
    let kinds = StringArray::from_iter_values(found.iter().map(|found| found.kind));
    let names = StringArray::from_iter_values(found.iter().map(|found| found.name));
    let outcomes = StringArray::from_iter_values(found.iter().map(|found| found.outcome));
    let columns: [(&str, ArrayRef); 3] =
        [("kind", Arc::new(kinds)), ("name", Arc::new(names)), ("outcome", Arc::new(outcomes))];
    RecordBatch::try_from_iter(columns)
        .map_err(|error| Error::internal("the list of left-overs has no shape").because(error))
}
