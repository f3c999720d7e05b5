//! `cayenne tables`: lists the tables and views of the database.

use cayenne_format::{Result, TableName};
use cayenne_table::{Database, PinnedView};

use crate::exit::{self, Failure};
use crate::listing::Listing;
use crate::terminal::Terminal;

/// Prints one row for each table and view, ordered by name.
pub(crate) async fn run(database: &Database, terminal: &mut Terminal) -> Result<u8, Failure> {
    let mut listed = tables(database).await?;
    let views = database.views().await?.into_iter();
    listed.extend(views.map(|view| Listed { name: view.name, is_view: true, view: None, rows: None }));
    listed.sort_by(|one, other| one.name.cmp(&other.name));
    let of = |number: fn(&PinnedView) -> u64| move |listed: &Listed| listed.view.as_ref().map(number);
    Listing::of(&listed)
        .text("name", |listed| listed.name.to_string())
        .number_if_known("rows", |listed| listed.rows)
        .number_if_known("files", of(|view| view.files().len() as u64))
        .number_if_known("bytes", of(|view| view.snapshot().stored_bytes()))
        .number_if_known("sequence", of(|view| view.sequence().number()))
        .text("kind", |listed| if listed.is_view { "view" } else { "table" }.to_owned())
        .print(terminal)?;
    Ok(exit::OK)
}

struct Listed {
    name: TableName,
    is_view: bool,
    /// The latest view of the table; `None` for a view of SQL, which has no files.
    view: Option<PinnedView>,
    /// The number of visible rows; `None` if a deletion file cannot be read, and for a view of SQL.
    rows: Option<u64>,
}

async fn tables(database: &Database) -> Result<Vec<Listed>> {
    let mut tables = Vec::new();
    for record in database.tables().await? {
        // The table may have been dropped since it was listed.
        let Some(table) = database.table(&record.name).await? else { continue };
        let view = table.view().await?;
        let rows = table.visible_rows(&view).await.ok();
        tables.push(Listed { name: record.name, is_view: false, view: Some(view), rows });
    }
    Ok(tables)
}
