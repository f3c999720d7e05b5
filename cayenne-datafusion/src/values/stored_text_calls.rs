//! Calls the text function on values that are written to text columns, before the statement is planned.
//!
//! The planner rejects the cast of some types to text, for example of fixed-size binary, before any rule sees the
//! statement.

use arrow_schema::DataType;
use cayenne_table::Table;
use datafusion::error::Result;
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::Statement;
use datafusion::sql::planner::object_name_to_table_reference;
use datafusion::sql::sqlparser::ast::{
    self, AssignmentTarget, Expr, FunctionArg, FunctionArgExpr, FunctionArguments, Insert, ObjectName, Query, SetExpr,
    TableFactor, TableObject,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;

use crate::provider::CayenneTable;
use crate::values::default_keyword::{columns_of, last_name, table_of};
use crate::values::stored_text::{NAME, keeps_texts};

/// Adds the calls to a statement that inserts or updates rows, if its table stores unsupported types as text.
///
/// # Errors
///
/// Returns an error if the name of the table cannot be resolved.
pub(crate) async fn write_out(ctx: &SessionContext, statement: &mut Statement) -> Result<()> {
    let Some((name, statement)) = target_of(statement) else { return Ok(()) };
    let normalises = ctx.state_ref().read().config_options().sql_parser.enable_ident_normalization;
    let name = object_name_to_table_reference(name, normalises)?;
    // If the table does not exist, the planner returns a better error.
    let Ok(provider) = ctx.table_provider(name).await else { return Ok(()) };
    let Some(table) = provider.downcast_ref::<CayenneTable>() else { return Ok(()) };
    if keeps_texts(table.table()) {
        call_in(table.table(), statement);
    }
    Ok(())
}

/// Returns the target table of an `INSERT` or `UPDATE`, which may be inside `EXPLAIN` or `PREPARE`, and the statement.
fn target_of(statement: &mut Statement) -> Option<(ObjectName, &mut ast::Statement)> {
    match statement {
        Statement::Explain(explain) => target_of(&mut explain.statement),
        Statement::Statement(statement) => target_in(statement),
        _ => None,
    }
}

fn target_in(statement: &mut ast::Statement) -> Option<(ObjectName, &mut ast::Statement)> {
    if let ast::Statement::Prepare { statement, .. } | ast::Statement::Explain { statement, .. } = statement {
        return target_in(statement);
    }
    let name = match statement {
        ast::Statement::Insert(Insert { table: TableObject::TableName(name), .. }) => name.clone(),
        ast::Statement::Update(update) => table_of(&update.table.relation)?,
        _ => return None,
    };
    Some((name, statement))
}

fn call_in(table: &Table, statement: &mut ast::Statement) {
    match statement {
        ast::Statement::Insert(Insert { columns, source: Some(rows), .. }) => {
            let is_text: Vec<_> = columns_of(table, columns).iter().map(|column| is_text(table, column)).collect();
            match rows.body.as_mut() {
                SetExpr::Values(values) => values.rows.iter_mut().for_each(|row| {
                    row.content.iter_mut().zip(&is_text).filter(|(_, is_text)| **is_text).for_each(|(v, _)| call(v));
                }),
                // A query around an ordered query would lose the order of the rows.
                _ if !is_text.contains(&true) || rows.order_by.is_some() => {}
                _ => call_for_columns(rows, &is_text),
            }
        }
        ast::Statement::Update(update) => {
            for assignment in &mut update.assignments {
                if let AssignmentTarget::ColumnName(name) = &assignment.target
                    && is_text(table, &last_name(name))
                {
                    call(&mut assignment.value);
                }
            }
        }
        _ => {}
    }
}

fn is_text(table: &Table, column: &str) -> bool {
    table.schema().field_with_name(column).is_ok_and(|field| *field.data_type() == DataType::Utf8)
}

/// Wraps a value in a call. Literals and parameters are left alone, because the planner can cast them.
fn call(value: &mut Expr) {
    if matches!(value, Expr::Value(_)) {
        return;
    }
    let Some(mut call) = parser_of(&format!("{NAME}(NULL)")).and_then(|mut parser| parser.parse_expr().ok()) else {
        return;
    };
    if let Expr::Function(function) = &mut call
        && let FunctionArguments::List(list) = &mut function.args
        && let [FunctionArg::Unnamed(FunctionArgExpr::Expr(argument))] = list.args.as_mut_slice()
    {
        std::mem::swap(argument, value);
        *value = call;
    }
}

/// Wraps columns of a query in calls.
fn call_for_columns(rows: &mut Box<Query>, is_text: &[bool]) {
    let names: Vec<_> = (1..=is_text.len()).map(|number| format!("c{number}")).collect();
    let values: Vec<_> = names
        .iter()
        .zip(is_text)
        .map(|(name, is_text)| if *is_text { format!("{NAME}({name})") } else { name.clone() })
        .collect();
    let text = format!("SELECT {} FROM (SELECT 0) AS cayenne_rows ({})", values.join(", "), names.join(", "));
    let Some(mut called) = parser_of(&text).and_then(|mut parser| parser.parse_query().ok()) else { return };
    if let SetExpr::Select(select) = called.body.as_mut()
        && let Some(from) = select.from.first_mut()
        && let TableFactor::Derived { subquery, .. } = &mut from.relation
    {
        std::mem::swap(subquery, rows);
        *rows = called;
    }
}

fn parser_of(text: &str) -> Option<Parser<'static>> {
    Parser::new(&GenericDialect {}).try_with_sql(text).ok()
}
