//! `INSERT … ON CONFLICT`, which DataFusion parses but does not plan.
//!
//! The statement becomes a `MERGE`. For planning, its source is the table itself under the name `excluded`, because
//! that has the columns of the new rows. Then the new rows replace that source in the plan.

use crate::text::idents::name_of;
use std::ops::ControlFlow;
use std::sync::Arc;

use cayenne_format::Error;
use cayenne_table::Table;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, TableReference};
use datafusion::error::Result;
use datafusion::functions_window::expr_fn::row_number;
use datafusion::logical_expr::dml::InsertOp;
use datafusion::logical_expr::expr::Sort;
use datafusion::logical_expr::{
    DmlStatement, Expr, ExprFunctionExt, LogicalPlan, LogicalPlanBuilder, WriteOp, ident, lit,
};
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::{DFParser, Statement};
use datafusion::sql::sqlparser::ast::{
    self, ConflictTarget, Ident, Insert, MergeAction, OnConflict, OnConflictAction, OnInsert, TableObject, VisitMut,
    VisitorMut,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;

use crate::catalog::view_plan;
use crate::error::external;
use crate::project::project;
use crate::provider::cayenne_table;
use crate::values::stored_text;
use crate::write::target::no_primary_key;

/// The name by which a statement refers to the new rows.
const NEW_ROWS: &str = "excluded";

/// Removes `ON CONFLICT` from an `INSERT`, or from an `INSERT` inside `EXPLAIN`, and returns it.
pub(crate) fn take(statement: &mut Statement) -> Option<OnConflict> {
    let insert = insert_of(statement)?;
    match insert.on.take() {
        Some(OnInsert::OnConflict(clause)) => Some(clause),
        other => {
            insert.on = other;
            None
        }
    }
}

fn insert_of(statement: &mut Statement) -> Option<&mut Insert> {
    match statement {
        Statement::Explain(explain) => insert_of(&mut explain.statement),
        Statement::Statement(statement) => match statement.as_mut() {
            ast::Statement::Insert(insert) => Some(insert),
            _ => None,
        },
        _ => None,
    }
}

/// Plans an `INSERT` from which `ON CONFLICT` has been removed.
///
/// # Errors
///
/// Any planning error; `Invalid` if the conflict target is not the primary key of the table.
pub(crate) async fn plan(ctx: &SessionContext, mut statement: Statement, clause: &OnConflict) -> Result<LogicalPlan> {
    let missing = || external(Error::internal("a statement is no INSERT any more"));
    let insert = insert_of(&mut statement).ok_or_else(missing)?;
    let insertion = ast::Statement::Insert(insert.clone());
    let insertion = Statement::Statement(Box::new(insertion));
    let LogicalPlan::Dml(rows) = view_plan::plan(ctx.state(), insertion).await? else {
        return Err(missing());
    };
    if rows.op != WriteOp::Insert(InsertOp::Append) {
        return Err(external(
            Error::invalid("a statement that replaces rows has no conflicts").with("statement", rows.op.name()),
        ));
    }
    let table = cayenne_table(&rows.target).map(|table| Arc::clone(table.table()));
    let table = table.ok_or_else(|| external(not_ours(&rows.table_name)))?;
    about_the_key(&table, clause).map_err(external)?;
    let TableObject::TableName(name) = &insert.table else { return Err(missing()) };
    let merge = merge_of(&table, name, clause)?;
    let merge = match &mut statement {
        Statement::Explain(explain) => {
            *explain.statement = merge;
            statement
        }
        _ => merge,
    };
    let planned = view_plan::plan(ctx.state(), merge).await?;
    let new_rows = stored_text::of_rows(&table, Arc::unwrap_or_clone(rows.input))?;
    let new_rows = self::new_rows(&table, new_rows, clause)?;
    let planned = planned.transform_down(|plan| match plan {
        LogicalPlan::Dml(DmlStatement { table_name, target, op: op @ WriteOp::MergeInto(_), .. }) => {
            let input = Arc::new(new_rows.clone());
            Ok(Transformed::yes(LogicalPlan::Dml(DmlStatement::new(table_name, target, op, input))))
        }
        plan => Ok(Transformed::no(plan)),
    })?;
    Ok(planned.data)
}

fn not_ours(table: &TableReference) -> Error {
    Error::unsupported("ON CONFLICT is for Cayenne tables").code("unsupported-sql").with("table", table)
}

/// Returns an error if the conflict target is not the primary key.
fn about_the_key(table: &Table, clause: &OnConflict) -> cayenne_format::Result<()> {
    let key = &table.options().primary_key;
    if !table.options().finds_conflicts() {
        return Err(no_primary_key(table, "INSERT … ON CONFLICT"));
    }
    let named = match &clause.conflict_target {
        None => return Ok(()),
        Some(ConflictTarget::Columns(columns)) => columns.iter().map(name_of).collect::<Vec<_>>(),
        Some(ConflictTarget::OnConstraint(_)) => Vec::new(),
    };
    if named.len() == key.len() && key.iter().all(|column| named.contains(column)) {
        return Ok(());
    }
    Err(Error::invalid("the conflict target is not the primary key of the table")
        .code("conflict-target")
        .with("table", table.name())
        .with("primary key", key.join(", "))
        .help("name its columns after ON CONFLICT, or nothing"))
}

fn quoted(name: &str) -> Ident {
    Ident::with_quote('"', name)
}

/// Returns the statement that merges the new rows into the table.
fn merge_of(table: &Table, name: &ast::ObjectName, clause: &OnConflict) -> Result<Statement> {
    let target: Vec<Ident> = name.0.iter().filter_map(|part| part.as_ident().cloned()).collect();
    let of_table = |column: &str| {
        target.iter().cloned().chain([quoted(column)]).map(|part| part.to_string()).collect::<Vec<_>>().join(".")
    };
    let of_new = |column: &str| format!("{NEW_ROWS}.{}", quoted(column));
    let equal = |column: &String| format!("{} = {}", of_table(column), of_new(column));
    let on = table.options().primary_key.iter().map(equal).collect::<Vec<_>>().join(" AND ");
    let fields: Vec<&str> = table.schema().fields().iter().map(|field| field.name().as_str()).collect();
    let columns = fields.iter().map(|field| quoted(field).to_string()).collect::<Vec<_>>().join(", ");
    let values = fields.iter().map(|field| of_new(field)).collect::<Vec<_>>().join(", ");
    let updates = match &clause.action {
        OnConflictAction::DoNothing => String::new(),
        OnConflictAction::DoUpdate(_) => {
            let any = fields.first().map(|field| quoted(field).to_string()).unwrap_or_default();
            format!("WHEN MATCHED THEN UPDATE SET {any} = NULL")
        }
    };
    let text = format!(
        "MERGE INTO {name} USING {name} AS {NEW_ROWS} ON {on} {updates} \
         WHEN NOT MATCHED THEN INSERT ({columns}) VALUES ({values})"
    );
    // Not in the dialect of the session, which may quote names differently.
    let mut merge = DFParser::parse_sql_with_dialect(&text, &GenericDialect {})?
        .pop_front()
        .ok_or_else(|| external(Error::internal("a merge was not parsed as a statement")))?;
    if let OnConflictAction::DoUpdate(update) = &clause.action {
        let mut update = update.clone();
        let mut qualify = Qualify { target: &target, fields: &fields, queries: 0 };
        for assignment in &mut update.assignments {
            // The visitor never stops early.
            let _done = assignment.value.visit(&mut qualify);
        }
        let _done = update.selection.visit(&mut qualify);
        put(&mut merge, update);
    }
    Ok(merge)
}

/// Puts the assignments and the condition of an update into the first clause of a merge.
fn put(merge: &mut Statement, update: ast::DoUpdate) {
    if let Statement::Statement(statement) = merge
        && let ast::Statement::Merge(merge) = statement.as_mut()
        && let Some(matched) = merge.clauses.first_mut()
    {
        matched.predicate = update.selection;
        if let MergeAction::Update(action) = &mut matched.action {
            action.assignments = update.assignments;
        }
    }
}

/// Qualifies bare column names with the table, because the new rows have columns of the same names.
struct Qualify<'a> {
    target: &'a [Ident],
    fields: &'a [&'a str],
    /// Number of queries around the current expression. Inside a query, a bare name refers to the query's own columns
    /// first.
    queries: usize,
}

impl VisitorMut for Qualify<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, _: &mut ast::Query) -> ControlFlow<()> {
        self.queries += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut ast::Query) -> ControlFlow<()> {
        self.queries -= 1;
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut ast::Expr) -> ControlFlow<()> {
        if let ast::Expr::Identifier(column) = expr
            && self.queries == 0
            && self.fields.contains(&name_of(column).as_str())
        {
            *expr = ast::Expr::CompoundIdentifier(self.target.iter().cloned().chain([column.clone()]).collect());
        }
        ControlFlow::Continue(())
    }
}

/// The column that numbers the new rows in the order of their arrival.
const ARRIVAL: &str = "__cayenne_arrival";
/// The column that numbers the new rows with the same key.
const RANK: &str = "__cayenne_rank";

/// Returns the new rows as `excluded`. For `DO NOTHING`, only the first of several rows with the same key is kept.
fn new_rows(table: &Table, rows: LogicalPlan, clause: &OnConflict) -> Result<LogicalPlan> {
    if matches!(clause.action, OnConflictAction::DoUpdate(_)) {
        return LogicalPlanBuilder::from(rows).alias(NEW_ROWS)?.build();
    }
    let of_new = |name: &String| Expr::Column(Column::new(Some(NEW_ROWS), name));
    let columns: Vec<Expr> = table.schema().fields().iter().map(|field| of_new(field.name())).collect();
    let key: Vec<Expr> = table.options().primary_key.iter().map(of_new).collect();
    let rows = LogicalPlanBuilder::from(numbered(rows)?).alias(NEW_ROWS)?;
    let arrival = Sort::new(Expr::Column(Column::new(Some(NEW_ROWS), ARRIVAL)), true, false);
    let rank = row_number().partition_by(key).order_by(vec![arrival]).build()?.alias(RANK);
    rows.window([rank])?.filter(ident(RANK).eq(lit(1_u64)))?.project(columns)?.build()
}

/// Numbers rows in the order of their arrival: the order of the query, if it has one.
fn numbered(plan: LogicalPlan) -> Result<LogicalPlan> {
    let number = match plan {
        LogicalPlan::Projection(projection) => {
            let input = numbered(Arc::unwrap_or_clone(projection.input))?;
            let (qualifier, field) = input.schema().qualified_field_with_unqualified_name(ARRIVAL)?;
            let number = Expr::Column(Column::from((qualifier, field)));
            let columns = projection.expr.into_iter().chain([number]).collect();
            return project(columns, input);
        }
        LogicalPlan::SubqueryAlias(_) | LogicalPlan::Limit(_) => {
            let inputs: Result<Vec<_>> = plan.inputs().into_iter().map(|input| numbered(input.clone())).collect();
            return plan.with_new_exprs(plan.expressions(), inputs?);
        }
        LogicalPlan::Sort(ref sort) => row_number().order_by(sort.expr.clone()).build()?,
        _ => row_number(),
    };
    LogicalPlanBuilder::from(plan).window([number.alias(ARRIVAL)])?.build()
}
