//! Table functions that run maintenance: `cayenne_flush('t')`, `cayenne_compact('t')`, `cayenne_expire('t')`,
//! `cayenne_collect()`.
//!
//! They run when the statement is executed and not when it is planned, so that `EXPLAIN` changes nothing.

use std::fmt;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, StringArray, UInt64Array};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use cayenne_format::{Error, Result as CayenneResult, RetentionOptions, TableName};
use cayenne_table::{Compacted, Database, Table};
use datafusion::catalog::streaming::StreamingTable;
use datafusion::catalog::{TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use futures::stream;

use crate::error::external;

/// The work of a function, and its result.
#[async_trait]
trait Maintenance: fmt::Debug + Send + Sync {
    /// Returns the columns of the result.
    fn schema(&self) -> SchemaRef;

    /// Runs the work and returns the result.
    async fn run(&self) -> CayenneResult<RecordBatch>;
}

/// A scan that runs the work when it is executed.
#[derive(Debug)]
struct Execution {
    schema: SchemaRef,
    work: Arc<dyn Maintenance>,
}

impl PartitionStream for Execution {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let work = Arc::clone(&self.work);
        let answer = stream::once(async move { work.run().await.map_err(external) });
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), answer))
    }
}

fn when_executed(work: impl Maintenance + 'static) -> Result<Arc<dyn TableProvider>> {
    let schema = work.schema();
    let execution = Execution { schema: Arc::clone(&schema), work: Arc::new(work) };
    Ok(Arc::new(StreamingTable::try_new(schema, vec![Arc::new(execution)])?))
}

/// The maintenance functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Function {
    /// `cayenne_flush('t')`: moves the inline rows of a table to data files.
    Flush,
    /// `cayenne_compact('t' [, max_files])`: rewrites small data files into fewer and larger ones.
    Compact,
    /// `cayenne_expire('t' [, keep [, dry_run]])`: expires earlier snapshots of a table.
    Expire,
    /// `cayenne_collect([dry_run])`: removes files that nothing references.
    Collect,
}

impl Function {
    pub(crate) const ALL: [Self; 4] = [Self::Flush, Self::Compact, Self::Expire, Self::Collect];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Flush => "cayenne_flush",
            Self::Compact => "cayenne_compact",
            Self::Expire => "cayenne_expire",
            Self::Collect => "cayenne_collect",
        }
    }

    const fn usage(self) -> &'static str {
        match self {
            Self::Flush => "for instance SELECT * FROM cayenne_flush('t')",
            Self::Compact => {
                "for instance SELECT * FROM cayenne_compact('t', 8): a table, and how many data files a pass reads at most"
            }
            Self::Expire => {
                "for instance SELECT * FROM cayenne_expire('t', 3): a table, how many snapshots before the current one \
                 are kept (else what the options of the table say), and true to change nothing"
            }
            Self::Collect => "for instance SELECT * FROM cayenne_collect(); cayenne_collect(true) changes nothing",
        }
    }

    fn misused(self) -> Error {
        Error::invalid("the function does not take these arguments")
            .code("sql-plan")
            .with("function", self.name())
            .help(self.usage())
    }
}

/// One of the functions on a database.
#[derive(Debug)]
pub(crate) struct MaintenanceFunction {
    database: Arc<Database>,
    function: Function,
}

impl MaintenanceFunction {
    pub(crate) fn new(database: &Arc<Database>, function: Function) -> Self {
        Self { database: Arc::clone(database), function }
    }
}

impl TableFunctionImpl for MaintenanceFunction {
    fn call_with_args(&self, args: TableFunctionArgs) -> Result<Arc<dyn TableProvider>> {
        let misused = || external(self.function.misused());
        let literals: Option<Vec<_>> = args.exprs().iter().map(literal).collect();
        let literals = literals.ok_or_else(misused)?;
        let database = Arc::clone(&self.database);
        match (self.function, literals.as_slice()) {
            (Function::Flush, [table]) => {
                when_executed(Flush { database, table: name(table).map_err(external)?.ok_or_else(misused)? })
            }
            (Function::Compact, [table, rest @ ..]) if rest.len() <= 1 => {
                let table = name(table).map_err(external)?.ok_or_else(misused)?;
                let max_files = rest.first().map(|files| count(files).ok_or_else(misused)).transpose()?;
                when_executed(Compact { database, table, max_files })
            }
            (Function::Expire, [table, rest @ ..]) if rest.len() <= 2 => {
                let table = name(table).map_err(external)?.ok_or_else(misused)?;
                let keep = rest.first().map(|keep| count(keep).ok_or_else(misused)).transpose()?;
                let dry_run = rest.get(1).map(|dry_run| flag(dry_run).ok_or_else(misused)).transpose()?;
                when_executed(Expire { database, table, keep, dry_run: dry_run.unwrap_or(false) })
            }
            (Function::Collect, []) => when_executed(Collect { database, dry_run: false }),
            (Function::Collect, [dry_run]) => {
                when_executed(Collect { database, dry_run: flag(dry_run).ok_or_else(misused)? })
            }
            _ => Err(misused()),
        }
    }
}

fn literal(argument: &Expr) -> Option<ScalarValue> {
    match argument {
        Expr::Literal(value, _) => Some(value.clone()),
        _ => None,
    }
}

fn name(value: &ScalarValue) -> CayenneResult<Option<TableName>> {
    value.try_as_str().flatten().map(TableName::try_from).transpose()
}

fn count(value: &ScalarValue) -> Option<u64> {
    match value {
        ScalarValue::Int64(Some(number)) => u64::try_from(*number).ok(),
        ScalarValue::UInt64(Some(number)) => Some(*number),
        _ => None,
    }
}

fn flag(value: &ScalarValue) -> Option<bool> {
    match value {
        ScalarValue::Boolean(flag) => *flag,
        _ => None,
    }
}

#[derive(Debug)]
struct Flush {
    database: Arc<Database>,
    table: TableName,
}

#[async_trait]
impl Maintenance for Flush {
    fn schema(&self) -> SchemaRef {
        schema_of(&["rows", "inline_files", "files", "sequence"])
    }

    async fn run(&self) -> CayenneResult<RecordBatch> {
        let flushed = find(&self.database, &self.table).await?.flush().await?;
        let counts = [flushed.rows, flushed.inline_files as u64, flushed.files as u64, flushed.sequence.number()];
        answer(&self.schema(), &self.table, &counts)
    }
}

#[derive(Debug)]
struct Compact {
    database: Arc<Database>,
    table: TableName,
    max_files: Option<u64>,
}

/// The columns with the counts of a pass.
const PASS: [&str; 7] = ["inputs", "bytes_read", "outputs", "bytes_written", "rows", "rows_left_out", "sequence"];

#[async_trait]
impl Maintenance for Compact {
    fn schema(&self) -> SchemaRef {
        let texts = ["table_name", "reason"].map(|name| Field::new(name, DataType::Utf8, false));
        let counts = PASS.map(|name| Field::new(name, DataType::UInt64, false));
        Arc::new(Schema::new(texts.into_iter().chain(counts).collect::<Vec<_>>()))
    }

    async fn run(&self) -> CayenneResult<RecordBatch> {
        let max_files = self.max_files.map(|files| usize::try_from(files).unwrap_or(usize::MAX));
        let passes = find(&self.database, &self.table).await?.compact(max_files).await?;
        let names = StringArray::from_iter_values(passes.iter().map(|_| self.table.as_str()));
        let reasons = StringArray::from_iter_values(passes.iter().map(|pass| pass.reason.as_str()));
        let mut columns: Vec<ArrayRef> = vec![Arc::new(names), Arc::new(reasons)];
        let counts: Vec<_> = passes.iter().map(counts_of).collect();
        columns.extend((0..PASS.len()).map(|place| {
            let column = counts.iter().map(|counts| counts.get(place).copied().unwrap_or_default());
            Arc::new(UInt64Array::from_iter_values(column)) as ArrayRef
        }));
        RecordBatch::try_new(self.schema(), columns).map_err(no_shape)
    }
}

fn counts_of(pass: &Compacted) -> [u64; PASS.len()] {
    let Compacted { inputs, bytes_read, outputs, bytes_written, rows, rows_left_out, sequence, .. } = *pass;
    [inputs as u64, bytes_read, outputs as u64, bytes_written, rows, rows_left_out, sequence.number()]
}

#[derive(Debug)]
struct Expire {
    database: Arc<Database>,
    table: TableName,
    /// Overrides the retention in the options of the table.
    keep: Option<u64>,
    dry_run: bool,
}

#[async_trait]
impl Maintenance for Expire {
    fn schema(&self) -> SchemaRef {
        schema_of(&["snapshots", "kept_from", "known_from"])
    }

    async fn run(&self) -> CayenneResult<RecordBatch> {
        let table = find(&self.database, &self.table).await?;
        let keep = self.keep.map(|count| RetentionOptions { count, seconds: 0 });
        let retention = keep.unwrap_or(table.options().retention);
        let expired = if self.dry_run { table.expirable(retention).await? } else { table.expire(retention).await? };
        let counts = [expired.snapshots as u64, expired.kept_from.number(), expired.known_from.number()];
        answer(&self.schema(), &self.table, &counts)
    }
}

#[derive(Debug)]
struct Collect {
    database: Arc<Database>,
    dry_run: bool,
}

#[async_trait]
impl Maintenance for Collect {
    fn schema(&self) -> SchemaRef {
        Arc::new(Schema::new(["kind", "name", "outcome"].map(|name| Field::new(name, DataType::Utf8, false)).to_vec()))
    }

    async fn run(&self) -> CayenneResult<RecordBatch> {
        let collected = self.database.collect(!self.dry_run).await?;
        let found: Vec<_> = collected.findings(!self.dry_run).collect();
        let kinds = StringArray::from_iter_values(found.iter().map(|found| found.kind));
        let names = StringArray::from_iter_values(found.iter().map(|found| found.name));
        let outcomes = StringArray::from_iter_values(found.iter().map(|found| found.outcome));
        let columns: Vec<ArrayRef> = vec![Arc::new(kinds), Arc::new(names), Arc::new(outcomes)];
        RecordBatch::try_new(self.schema(), columns).map_err(no_shape)
    }
}

/// Returns the columns of a result about one table: its name, and counts.
fn schema_of(counts: &[&str]) -> SchemaRef {
    let name = Field::new("table_name", DataType::Utf8, false);
    let counts = counts.iter().map(|count| Field::new(*count, DataType::UInt64, false));
    Arc::new(Schema::new(std::iter::once(name).chain(counts).collect::<Vec<_>>()))
}

fn answer(schema: &SchemaRef, table: &TableName, counts: &[u64]) -> CayenneResult<RecordBatch> {
    let name = Arc::new(StringArray::from_iter_values([table.as_str()])) as _;
    let counts = counts.iter().map(|count| Arc::new(UInt64Array::from(vec![*count])) as _);
    RecordBatch::try_new(Arc::clone(schema), std::iter::once(name).chain(counts).collect()).map_err(no_shape)
}

fn no_shape(error: ArrowError) -> Error {
    Error::internal("the answer of a function has other columns than it says").because(error)
}

async fn find(database: &Database, name: &TableName) -> CayenneResult<Arc<Table>> {
    let table = database.table(name).await?;
    table.ok_or_else(|| Error::not_found("there is no such table").code("no-table").with("table", name))
}
