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
        .text("name", |(name, _)| name.to_string())
        .number_if_known("rows", |(_, view)| view.snapshot().visible_rows())
        .number("files", |(_, view)| view.files().len() as u64)
        .number("bytes", |(_, view)| view.snapshot().stored_bytes())
        .number("sequence", |(_, view)| view.sequence().number())
        .print(terminal)?;
    Ok(exit::OK)
}

async fn tables(database: &Database) -> Result<Vec<(TableName, PinnedView)>> {
    let mut tables = Vec::new();
    for record in database.tables().await? {
        // A table that was dropped since is no longer listed.
        let Some(table) = database.table(&record.name).await? else { continue };
        tables.push((record.name, table.view().await?));
    }
    Ok(tables)
}
