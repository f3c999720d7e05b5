//! Table functions that do something: `cayenne_flush('t')`.
//!
//! What they do is done when the statement runs and not when it is planned, so that `EXPLAIN` changes nothing.

use std::fmt;
use std::sync::Arc;

use arrow_array::{RecordBatch, StringArray, UInt64Array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use cayenne_format::{Error, Result as CayenneResult, TableName};
use cayenne_table::{Database, Table};
use datafusion::catalog::streaming::StreamingTable;
use datafusion::catalog::{TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use futures::stream;

use crate::error::external;

/// What a function does, and what it tells of it.
#[async_trait]
trait Maintenance: fmt::Debug + Send + Sync {
    /// Returns the columns of the answer.
    fn schema(&self) -> SchemaRef;

    /// Does it.
    async fn run(&self) -> CayenneResult<RecordBatch>;
}

/// A scan that does its work when it is executed.
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

/// `cayenne_flush('t')`: moves the inline rows of a table to data files.
#[derive(Debug)]
pub(crate) struct CayenneFlush {
    database: Arc<Database>,
}

impl CayenneFlush {
    pub(crate) fn new(database: Arc<Database>) -> Self {
        Self { database }
    }
}

impl TableFunctionImpl for CayenneFlush {
    fn call_with_args(&self, args: TableFunctionArgs) -> Result<Arc<dyn TableProvider>> {
        let table = only_table(args.exprs(), "cayenne_flush").map_err(external)?;
        when_executed(Flush { database: Arc::clone(&self.database), table })
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

/// Returns the columns of an answer about one table: its name, and counts.
fn schema_of(counts: &[&str]) -> SchemaRef {
    let name = Field::new("table_name", DataType::Utf8, false);
    let counts = counts.iter().map(|count| Field::new(*count, DataType::UInt64, false));
    Arc::new(Schema::new(std::iter::once(name).chain(counts).collect::<Vec<_>>()))
}

fn answer(schema: &SchemaRef, table: &TableName, counts: &[u64]) -> CayenneResult<RecordBatch> {
    let name = Arc::new(StringArray::from_iter_values([table.as_str()])) as _;
    let counts = counts.iter().map(|count| Arc::new(UInt64Array::from(vec![*count])) as _);
    RecordBatch::try_new(Arc::clone(schema), std::iter::once(name).chain(counts).collect())
        .map_err(|error| Error::internal("the answer of a function has other columns than it says").because(error))
}

async fn find(database: &Database, name: &TableName) -> CayenneResult<Arc<Table>> {
    let table = database.table(name).await?;
    table.ok_or_else(|| Error::not_found("there is no such table").code("no-table").with("table", name))
}

/// Reads the name of a table, the only argument of a function.
fn only_table(arguments: &[Expr], function: &'static str) -> CayenneResult<TableName> {
    let name = match arguments {
        [Expr::Literal(value, _)] => value.try_as_str().flatten(),
        _ => None,
    };
    let name = name.ok_or_else(|| {
        Error::invalid("the function takes the name of a table, as text")
            .code("sql-plan")
            .with("function", function)
            .help(format!("for instance SELECT * FROM {function}('t')"))
    })?;
    TableName::try_from(name)
}
