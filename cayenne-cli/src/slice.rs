//! `cayenne export` and `cayenne import`: write a table or the definition of a view to a folder of its own, and read
//! it.

use std::path::Path;

use cayenne_format::{Error, TableName};
use cayenne_table::{ImportOptions, SliceContents};

use crate::args::ImportArgs;
use crate::engine::Engine;
use crate::exit::{self, Failure};
use crate::figures::{counted, size};
use crate::terminal::Terminal;
use crate::views;

pub(crate) async fn export(engine: &Engine, table: &str, to: &Path, terminal: &mut Terminal) -> Result<u8, Failure> {
    let name = TableName::try_from(table)?;
    if views::find(&engine.database, table).await?.is_some() {
        engine.database.export_view(&name, to).await?;
        terminal.note(&format!("exported the definition of view {name} to {}", to.display()));
        return Ok(exit::OK);
    }
    let found = engine.database.table(&name).await?;
    let table =
        found.ok_or_else(|| Error::not_found("there is no such table").code("no-table").with("table", &name))?;
    let contents = table.export(to).await?;
    terminal.note(&format!("exported {} of table {name} to {}", summary(&contents), to.display()));
    Ok(exit::OK)
}

pub(crate) async fn import(engine: &Engine, args: &ImportArgs, terminal: &mut Terminal) -> Result<u8, Failure> {
    let name = args.into.as_deref().map(TableName::try_from).transpose()?;
    let options = ImportOptions { name, replace: args.replace };
    if let Some(view) = engine.database.import_view(&args.slice, &options).await? {
        terminal.note(&format!("imported the definition of view {view}; what it reads is looked for when it is used"));
        return Ok(exit::OK);
    }
    let (table, contents) = engine.database.import(&args.slice, options).await?;
    terminal.note(&format!("imported {} into table {}", summary(&contents), table.name()));
    Ok(exit::OK)
}

fn summary(contents: &SliceContents) -> String {
    let (rows, files) = (counted(contents.rows, "row"), counted(contents.files as u64, "data file"));
    format!("{rows}, {files}, {}, at sequence {},", size(contents.bytes), contents.sequence)
}
