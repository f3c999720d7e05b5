//! The keyword `DEFAULT` as a value, which DataFusion takes for the name of a column.
//!
//! It is supported in `INSERT … VALUES (DEFAULT)`, in `INSERT … DEFAULT VALUES`, and in `SET a = DEFAULT` of `UPDATE`,
//! `MERGE` and `ON CONFLICT`. The default of the column replaces it before the statement is planned.

use cayenne_format::Error;
use cayenne_table::Table;
use datafusion::error::Result;
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::Statement;
use datafusion::sql::planner::object_name_to_table_reference;
use datafusion::sql::sqlparser::ast::{
    self, Assignment, AssignmentTarget, Expr, Ident, Insert, Merge, MergeAction, MergeInsertKind, ObjectName,
    OnConflictAction, OnInsert, SetExpr, TableFactor, TableObject, Update, Values,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;

use crate::error::external;
use crate::provider::CayenneTable;
use crate::text::idents::name_of;

/// Replaces the keyword with the defaults of columns.
///
/// # Errors
///
/// Any error of resolving the table's name, or of parsing a default.
pub(crate) async fn resolve(ctx: &SessionContext, statement: &mut Statement) -> Result<()> {
    let Some(mut found) = uses_of(statement) else { return Ok(()) };
    let normalises = ctx.state().config_options().sql_parser.enable_ident_normalization;
    let name = object_name_to_table_reference(found.table.clone(), normalises)?;
    // If the table does not exist, the planner returns a better error.
    let Ok(provider) = ctx.table_provider(name).await else { return Ok(()) };
    let Some(table) = provider.downcast_ref::<CayenneTable>() else { return Ok(()) };
    found.put(table)
}

/// A statement that uses the keyword.
struct Uses<'s> {
    table: ObjectName,
    statement: Part<'s>,
}

enum Part<'s> {
    Insert(&'s mut Insert),
    Update(&'s mut Update),
    Merge(&'s mut Merge),
}

/// Returns the statement that uses the keyword, which may be inside `EXPLAIN` or `PREPARE`.
fn uses_of(statement: &mut Statement) -> Option<Uses<'_>> {
    match statement {
        Statement::Explain(explain) => uses_of(&mut explain.statement),
        Statement::Statement(statement) => uses_in(statement),
        _ => None,
    }
}

fn uses_in(statement: &mut ast::Statement) -> Option<Uses<'_>> {
    match statement {
        ast::Statement::Prepare { statement, .. } | ast::Statement::Explain { statement, .. } => uses_in(statement),
        ast::Statement::Insert(insert) if is_said_in_insert(insert) => {
            let TableObject::TableName(table) = &insert.table else { return None };
            Some(Uses { table: table.clone(), statement: Part::Insert(insert) })
        }
        ast::Statement::Update(update) if update.assignments.iter().any(sets_default) => {
            let table = table_of(&update.table.relation)?;
            Some(Uses { table, statement: Part::Update(update) })
        }
        ast::Statement::Merge(merge) if merge.clauses.iter().any(|clause| is_said_in_clause(&clause.action)) => {
            let table = table_of(&merge.table)?;
            Some(Uses { table, statement: Part::Merge(merge) })
        }
        _ => None,
    }
}

pub(crate) fn table_of(relation: &TableFactor) -> Option<ObjectName> {
    match relation {
        TableFactor::Table { name, .. } => Some(name.clone()),
        _ => None,
    }
}

fn is_default(expr: &Expr) -> bool {
    matches!(expr, Expr::Identifier(Ident { value, quote_style: None, .. }) if value.eq_ignore_ascii_case("default"))
}

fn sets_default(assignment: &Assignment) -> bool {
    is_default(&assignment.value)
}

fn is_said_in_values(values: &Values) -> bool {
    values.rows.iter().any(|row| row.content.iter().any(is_default))
}

fn is_said_in_insert(insert: &Insert) -> bool {
    let in_rows = match insert.source.as_ref().map(|source| source.body.as_ref()) {
        None => insert.assignments.is_empty(),
        Some(SetExpr::Values(values)) => is_said_in_values(values),
        Some(_) => false,
    };
    in_rows || updates_of(insert).is_some_and(|assignments| assignments.iter().any(sets_default))
}

fn updates_of(insert: &Insert) -> Option<&Vec<Assignment>> {
    match &insert.on {
        Some(OnInsert::OnConflict(clause)) => match &clause.action {
            OnConflictAction::DoUpdate(update) => Some(&update.assignments),
            OnConflictAction::DoNothing => None,
        },
        _ => None,
    }
}

fn is_said_in_clause(action: &MergeAction) -> bool {
    match action {
        MergeAction::Insert(insert) => {
            matches!(&insert.kind, MergeInsertKind::Values(values) if is_said_in_values(values))
        }
        MergeAction::Update(update) => update.assignments.iter().any(sets_default),
        MergeAction::Delete { .. } => false,
    }
}

impl Uses<'_> {
    fn put(&mut self, table: &CayenneTable) -> Result<()> {
        match &mut self.statement {
            Part::Insert(insert) => put_in_insert(table, insert),
            Part::Update(update) => put_in_assignments(table, &mut update.assignments),
            Part::Merge(merge) => merge.clauses.iter_mut().try_for_each(|clause| match &mut clause.action {
                MergeAction::Insert(insert) => match &mut insert.kind {
                    MergeInsertKind::Values(values) => {
                        put_in_values(table, &columns_of(table.table(), &insert.columns), values)
                    }
                    MergeInsertKind::Row => Ok(()),
                },
                MergeAction::Update(update) => put_in_assignments(table, &mut update.assignments),
                MergeAction::Delete { .. } => Ok(()),
            }),
        }
    }
}

/// Returns the names of the columns that a list of values is for; if none are named, all columns of the table.
pub(crate) fn columns_of(table: &Table, named: &[ObjectName]) -> Vec<String> {
    if named.is_empty() {
        return table.schema().fields().iter().map(|field| field.name().clone()).collect();
    }
    named.iter().map(last_name).collect()
}

pub(crate) fn last_name(name: &ObjectName) -> String {
    name.0.last().and_then(|part| part.as_ident()).map(name_of).unwrap_or_default()
}

fn put_in_insert(table: &CayenneTable, insert: &mut Insert) -> Result<()> {
    if insert.source.is_none() {
        insert_defaults(table, insert)?;
    }
    let columns = columns_of(table.table(), &insert.columns);
    if let Some(SetExpr::Values(values)) = insert.source.as_mut().map(|source| source.body.as_mut()) {
        put_in_values(table, &columns, values)?;
    }
    if let Some(OnInsert::OnConflict(clause)) = &mut insert.on
        && let OnConflictAction::DoUpdate(update) = &mut clause.action
    {
        put_in_assignments(table, &mut update.assignments)?;
    }
    Ok(())
}

/// Rewrites `DEFAULT VALUES` into a list of one value; the planner fills in the others.
fn insert_defaults(table: &CayenneTable, insert: &mut Insert) -> Result<()> {
    let unparsed = || external(Error::internal("a list of one value was not parsed as one"));
    let Some(first) = table.table().schema().fields().first() else { return Ok(()) };
    let parsed = Parser::parse_sql(&GenericDialect {}, "INSERT INTO t VALUES (DEFAULT)").map_err(|_| unparsed())?;
    let Some(ast::Statement::Insert(one)) = parsed.into_iter().next() else { return Err(unparsed()) };
    insert.columns = vec![ObjectName::from(vec![Ident::with_quote('"', first.name())])];
    insert.source = one.source;
    Ok(())
}

fn put_in_values(table: &CayenneTable, columns: &[String], values: &mut Values) -> Result<()> {
    for row in &mut values.rows {
        for (value, column) in row.content.iter_mut().zip(columns) {
            if is_default(value) {
                *value = default_of(table, column)?;
            }
        }
    }
    Ok(())
}

fn put_in_assignments(table: &CayenneTable, assignments: &mut [Assignment]) -> Result<()> {
    for assignment in assignments.iter_mut().filter(|assignment| sets_default(assignment)) {
        if let AssignmentTarget::ColumnName(name) = &assignment.target {
            assignment.value = default_of(table, &last_name(name))?;
        }
    }
    Ok(())
}

/// Returns the default of a column, or `NULL` if it has none.
fn default_of(table: &CayenneTable, column: &str) -> Result<Expr> {
    let text = table.table().options().column_defaults.get(column).map_or("NULL", String::as_str);
    let parsed = Parser::new(&GenericDialect {}).try_with_sql(text).and_then(|mut parser| parser.parse_expr());
    parsed.map_err(|error| {
        external(
            Error::invalid("the default of a column cannot be read")
                .code("invalid-default")
                .with("table", table.table().name())
                .with("column", column)
                .with("default", text)
                .because(error),
        )
    })
}
