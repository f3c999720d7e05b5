//! `cayenne flush` and `cayenne expire`: one row for each table.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, StringArray, UInt64Array};
use cayenne_format::{Error, Result, RetentionOptions, TableName};
use cayenne_table::{Database, Table};

use crate::args::ExpireArgs;
use crate::engine::Engine;
use crate::exit::{self, Failure};
use crate::output;
use crate::terminal::Terminal;

/// Moves inline rows to data files.
pub(crate) async fn flush(engine: &Engine, names: &[String], terminal: &mut Terminal) -> Result<u8, Failure> {
    let mut report = Report::new(["rows", "inline_files", "files", "sequence"]);
    for table in tables(&engine.database, names).await? {
        let flushed = table.flush().await?;
        let counts = [flushed.rows, flushed.inline_files as u64, flushed.files as u64, flushed.sequence.number()];
        report.add(&table, counts);
    }
    report.print(terminal)
}

/// Gives up earlier snapshots.
pub(crate) async fn expire(engine: &Engine, args: &ExpireArgs, terminal: &mut Terminal) -> Result<u8, Failure> {
    let mut report = Report::new(["snapshots", "kept_from", "known_from"]);
    for table in tables(&engine.database, &args.tables).await? {
        let retention = retention(args, &table);
        let expired = if args.dry_run { table.expirable(retention).await? } else { table.expire(retention).await? };
        report.add(&table, [expired.snapshots as u64, expired.kept_from.number(), expired.known_from.number()]);
    }
    report.print(terminal)
}

/// What is asked for takes the place of all that the options of the table say.
fn retention(args: &ExpireArgs, table: &Table) -> RetentionOptions {
    match (args.keep, args.keep_for) {
        (None, None) => table.options().retention,
        (count, seconds) => RetentionOptions { count: count.unwrap_or_default(), seconds: seconds.unwrap_or_default() },
    }
}

async fn tables(database: &Database, names: &[String]) -> Result<Vec<Arc<Table>>> {
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

/// One row of counts for each table.
struct Report<const COUNTS: usize> {
    columns: [&'static str; COUNTS],
    tables: Vec<String>,
    counts: Vec<[u64; COUNTS]>,
}

impl<const COUNTS: usize> Report<COUNTS> {
    fn new(columns: [&'static str; COUNTS]) -> Self {
        Self { columns, tables: Vec::new(), counts: Vec::new() }
    }

    fn add(&mut self, table: &Table, counts: [u64; COUNTS]) {
        self.tables.push(table.name().to_string());
        self.counts.push(counts);
    }

    fn print(self, terminal: &mut Terminal) -> Result<u8, Failure> {
        let names: ArrayRef = Arc::new(StringArray::from(self.tables));
        let counts = self.columns.iter().enumerate().map(|(index, column)| {
            let values = self.counts.iter().filter_map(|counts| counts.get(index)).copied();
            (*column, Arc::new(UInt64Array::from_iter_values(values)) as ArrayRef)
        });
        let batch = RecordBatch::try_from_iter(std::iter::once(("table", names)).chain(counts))
            .map_err(|error| Error::internal("the report has no shape").because(error))?;
        output::print_batch(batch, terminal)?;
        Ok(exit::OK)
    }
}
