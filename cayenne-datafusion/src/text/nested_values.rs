//! `INSERT INTO t SELECT … FROM (VALUES …)`: a list of values inside a query keeps its own types.
//!
//! In an `INSERT`, and in a `CREATE TABLE` with columns and a query, DataFusion casts every list of values to the
//! columns of the table, even a list that only the query reads: `INSERT INTO t SELECT 2 * x FROM (VALUES (1.5)) AS
//! v(x)` stores 2 in an integer column. Here a list in a `FROM` is planned separately, and every other list is moved
//! into a `FROM`. Only a list that is the whole source of the insert gets the types of the table.

use std::ops::ControlFlow;

use datafusion::common::DFSchema;
use datafusion::error::Result;
use datafusion::logical_expr::LogicalPlanBuilder;
use datafusion::logical_expr::planner::{PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{self, Query, SetExpr, TableFactor, Values, VisitMut, VisitorMut};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;

use crate::text::exponents::each_part;

/// Plans lists of values in a `FROM`.
#[derive(Debug)]
pub(crate) struct NestedValues;

impl RelationPlanner for NestedValues {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        let TableFactor::Derived { subquery, alias, sample: None, .. } = &relation else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        let Some(values) = only_values(subquery) else { return Ok(RelationPlanning::Original(Box::new(relation))) };
        let nothing = DFSchema::empty();
        let rows = values.rows.iter().map(|row| {
            let row = row.content.iter().map(|value| context.sql_to_expr(value.clone(), &nothing));
            row.collect::<Result<Vec<_>>>()
        });
        let plan = LogicalPlanBuilder::values(rows.collect::<Result<Vec<_>>>()?)?.build()?;
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias.clone()))))
    }
}

/// Returns the list of values if a query consists only of it.
fn only_values(query: &Query) -> Option<&Values> {
    match query {
        Query {
            with: None,
            body,
            order_by: None,
            limit_clause: None,
            fetch: None,
            locks: _,
            for_clause: None,
            settings: None,
            format_clause: None,
            pipe_operators,
        } if pipe_operators.is_empty() => match body.as_ref() {
            SetExpr::Values(values) if !values.value_keyword => Some(values),
            _ => None,
        },
        _ => None,
    }
}

/// Moves lists of values that are only a part of what a statement writes into a `FROM`.
pub(crate) fn write_out(statement: &mut Statement) {
    each_part(statement, &mut Writes);
}

/// Visits the queries whose rows a statement writes.
struct Writes;

impl VisitorMut for Writes {
    type Break = ();

    fn pre_visit_statement(&mut self, statement: &mut ast::Statement) -> ControlFlow<()> {
        let rows = match statement {
            ast::Statement::Insert(insert) => insert.source.as_mut(),
            ast::Statement::CreateTable(table) if !table.columns.is_empty() => table.query.as_mut(),
            _ => None,
        };
        match rows.map(|rows| (only_values(rows).is_some(), rows)) {
            None => ControlFlow::Continue(()),
            Some((is_list, rows)) => {
                let _done = match rows.body.as_mut() {
                    // The list itself stays. Lists in subqueries of its values must not get the types of the table.
                    SetExpr::Values(values) if is_list => values.visit(&mut Lists),
                    _ => rows.visit(&mut Lists),
                };
                ControlFlow::Break(())
            }
        }
    }
}

/// Moves all lists of values into a `FROM`.
struct Lists;

impl VisitorMut for Lists {
    type Break = ();

    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        put_in_from(&mut query.body);
        ControlFlow::Continue(())
    }
}

fn put_in_from(rows: &mut SetExpr) {
    match rows {
        SetExpr::Values(values) => {
            if let Some(query) = all_of(values) {
                *rows = query;
            }
        }
        SetExpr::SetOperation { left, right, .. } => {
            put_in_from(left);
            put_in_from(right);
        }
        _ => {}
    }
}

/// Returns `SELECT * FROM (VALUES …)`.
fn all_of(values: &Values) -> Option<SetExpr> {
    let parser = Parser::new(&GenericDialect {});
    let query = parser.try_with_sql("SELECT * FROM (VALUES (0))").and_then(|mut parser| parser.parse_query());
    let mut body = *query.ok()?.body;
    let SetExpr::Select(select) = &mut body else { return None };
    let TableFactor::Derived { subquery, .. } = &mut select.from.first_mut()?.relation else { return None };
    *subquery.body = SetExpr::Values(values.clone());
    Some(body)
}
