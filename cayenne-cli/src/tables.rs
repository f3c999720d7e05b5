//! `cayenne tables`: what is in the database.

use cayenne_format::{Result, TableName};
use cayenne_table::{Database, PinnedView};

use crate::exit::{self, Failure};
use crate::listing::Listing;
use crate::terminal::Terminal;

/// Prints one row per table, ordered by name.
pub(crate) async fn run(database: &Database, terminal: &mut Terminal) -> Result<u8, Failure> {
    let tables = tables(database).await?;
    Listing::of(&tables)
        .text("name", |listed| listed.name.to_string())
        .number_if_known("rows", |listed| listed.rows)
        .number("files", |listed| listed.view.files().len() as u64)
        .number("bytes", |listed| listed.view.snapshot().stored_bytes())
        .number("sequence", |listed| listed.view.sequence().number())
        .print(terminal)?;
    Ok(exit::OK)
}

struct Listed {
    name: TableName,
    view: PinnedView,
    /// The number of visible rows; none if a deletion file cannot be read.
    rows: Option<u64>,
}

async fn tables(database: &Database) -> Result<Vec<Listed>> {
    let mut tables = Vec::new();
    for record in database.tables().await? {
        // A table that was dropped since is no longer listed.
        let Some(table) = database.table(&record.name).await? else { continue };
        let view = table.view().await?;
        let rows = table.visible_rows(&view).await.ok();
        tables.push(Listed { name: record.name, view, rows });
    }
    Ok(tables)
}
