//! `cayenne_at('table', sequence)`: a table as of the commit with that sequence.

use std::sync::Arc;

use cayenne_format::{Error, Sequence, TableName};
use cayenne_table::Database;
use datafusion::catalog::{TableFunctionArgs, TableFunctionImpl, TableProvider};
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::Expr;

use crate::blocking::wait;
use crate::error::external;
use crate::provider::CayenneTable;

/// The table function.
#[derive(Debug)]
pub(crate) struct CayenneAt {
    database: Arc<Database>,
}

impl CayenneAt {
    pub(crate) fn new(database: Arc<Database>) -> Self {
        Self { database }
    }
}

impl TableFunctionImpl for CayenneAt {
    fn call_with_args(&self, args: TableFunctionArgs) -> Result<Arc<dyn TableProvider>> {
        let (name, sequence) = arguments(args.exprs()).map_err(external)?;
        let database = Arc::clone(&self.database);
        let opened = wait(async move {
            let table = database
                .table(&name)
                .await?
                .ok_or_else(|| Error::not_found("there is no such table").code("no-table").with("table", &name))?;
            let view = table.view_at(sequence).await?;
            Ok((table, view))
        });
        let (table, view) = opened.map_err(external)?;
        Ok(Arc::new(CayenneTable::at(table, view)))
    }
}

fn arguments(exprs: &[Expr]) -> Result<(TableName, Sequence), Error> {
    let usage = || {
        Error::invalid("cayenne_at takes a table name and a sequence")
            .code("sql-plan")
            .help("for instance SELECT * FROM cayenne_at('t', 3); t$snapshots lists the sequences of t")
    };
    let [name, sequence] = exprs else {
        return Err(usage());
    };
    let name = match name {
        Expr::Literal(value, _) => value.try_as_str().flatten().ok_or_else(usage)?,
        _ => return Err(usage()),
    };
    let number = match sequence {
        Expr::Literal(ScalarValue::Int64(Some(number)), _) => u64::try_from(*number).map_err(|_| usage())?,
        Expr::Literal(ScalarValue::UInt64(Some(number)), _) => *number,
        _ => return Err(usage()),
    };
    Ok((TableName::try_from(name)?, Sequence::new(number)?))
}
