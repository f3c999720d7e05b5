//! `cayenne flush` and `cayenne expire`, which print one row for each table.

use std::sync::Arc;

use cayenne_format::{Error, Result, RetentionOptions, TableName};
use cayenne_table::{Database, Table};

use crate::args::ExpireArgs;
use crate::engine::Engine;
use crate::exit::{self, Failure};
use crate::listing::Listing;
use crate::terminal::Terminal;

/// Flushes inline rows to data files.
pub(crate) async fn flush(engine: &Engine, names: &[String], terminal: &mut Terminal) -> Result<u8, Failure> {
    let mut rows = Vec::new();
    for table in tables(&engine.database, names).await? {
        let flushed = table.flush().await?;
        let counts = [flushed.rows, flushed.inline_files as u64, flushed.files as u64, flushed.sequence.number()];
        rows.push((table.name().to_string(), counts));
    }
    print(&rows, ["rows", "inline_files", "files", "sequence"], terminal)
}

/// Expires earlier snapshots.
pub(crate) async fn expire(engine: &Engine, args: &ExpireArgs, terminal: &mut Terminal) -> Result<u8, Failure> {
    let mut rows = Vec::new();
    for table in tables(&engine.database, &args.tables).await? {
        let retention = retention(args, &table);
        let expired = if args.dry_run { table.expirable(retention).await? } else { table.expire(retention).await? };
        let counts = [expired.snapshots as u64, expired.kept_from.number(), expired.known_from.number()];
        rows.push((table.name().to_string(), counts));
    }
    print(&rows, ["snapshots", "kept_from", "known_from"], terminal)
}

/// Returns the retention to use. An argument replaces all retention options of the table.
fn retention(args: &ExpireArgs, table: &Table) -> RetentionOptions {
    match (args.keep, args.keep_for) {
        (None, None) => table.options().retention,
        (count, seconds) => RetentionOptions { count: count.unwrap_or_default(), seconds: seconds.unwrap_or_default() },
    }
}

/// Returns the tables with these names, or all.
pub(crate) async fn tables(database: &Database, names: &[String]) -> Result<Vec<Arc<Table>>> {
    let names = match names {
        [] => database.tables().await?.into_iter().map(|record| record.name).collect(),
        names => names.iter().map(|name| TableName::try_from(name.as_str())).collect::<Result<Vec<_>>>()?,
    };
    let mut tables = Vec::with_capacity(names.len());
    for name in names {
        let table = database.table(&name).await?;
        tables.push(
            table.ok_or_else(|| Error::not_found("there is no such table").code("no-table").with("table", &name))?,
        );
    }
    Ok(tables)
}

/// A table, and counts of what was done with it.
type Row<const COUNTS: usize> = (String, [u64; COUNTS]);

fn print<const COUNTS: usize>(
    rows: &[Row<COUNTS>],
    columns: [&'static str; COUNTS],
    terminal: &mut Terminal,
) -> Result<u8, Failure> {
    let mut listing = Listing::of(rows).text("table", |(table, _)| table.clone());
    for (index, column) in columns.into_iter().enumerate() {
        listing = listing.number(column, |(_, counts)| counts.get(index).copied().unwrap_or_default());
    }
    listing.print(terminal)?;
    Ok(exit::OK)
}
