//! Rewrites `DELETE`, `UPDATE` and `MERGE` into queries. The condition that DataFusion passes to a table provider lacks
//! subqueries, limits and conditions that are never true.
//!
//! The rewritten scan of the table adds two columns that identify each row. The query returns them for the rows that
//! match, and the change node consumes them. Everything else is planned like an ordinary query.

use crate::changes::target::Target;
use crate::project::project;
use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result;
use datafusion::logical_expr::{DmlStatement, LogicalPlan, LogicalPlanBuilder, WriteOp};
use datafusion::optimizer::AnalyzerRule;

use crate::changes::change::Change;
use crate::changes::merge;
use crate::changes::null_values::with_any_nulls;
use crate::provider::cayenne_table;

/// Rewrites statements that change rows of Cayenne tables.
#[derive(Debug)]
pub(crate) struct ChangesAsQueries;

impl AnalyzerRule for ChangesAsQueries {
    fn name(&self) -> &'static str {
        "cayenne_changes_as_queries"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let rewritten = plan.transform_down(|plan| match plan {
            LogicalPlan::Dml(statement) if cayenne_table(&statement.target).is_some() => {
                rewritten(with_any_nulls(statement)?)
            }
            plan => Ok(Transformed::no(plan)),
        })?;
        Ok(rewritten.data)
    }
}

fn rewritten(statement: DmlStatement) -> Result<Transformed<LogicalPlan>> {
    let changes = matches!(statement.op, WriteOp::Delete | WriteOp::Update | WriteOp::MergeInto(_));
    let Some(table) = cayenne_table(&statement.target).filter(|_| changes) else {
        return Ok(Transformed::no(LogicalPlan::Dml(statement)));
    };
    table.writable()?;
    let target = Target::of(table);
    let DmlStatement { table_name, target: source, op, input, .. } = statement;
    let input = Arc::unwrap_or_clone(input);
    let plan = match op {
        // All rows are deleted: no row needs to be found.
        WriteOp::Delete if target.is_whole(&input) => {
            let nothing = Arc::new(LogicalPlanBuilder::empty(false).build()?);
            LogicalPlan::Dml(DmlStatement::new(table_name, source, WriteOp::Truncate, nothing))
        }
        WriteOp::Delete if let Some(keys) = target.deleted_keys(&input) => {
            target.statement.plan(table_name, target.reading_one_view(keys)?, Change::DeleteKeys)
        }
        WriteOp::Delete if let Some(keys) = target.listed_keys(&input)? => {
            target.statement.plan(table_name, keys, Change::DeleteKeys)
        }
        WriteOp::Delete => {
            let found = target.identified(input)?;
            let columns = target.identity_of(&found)?;
            let found = target.reading_one_view(project(columns, found)?)?;
            target.statement.plan(table_name, found, Change::Delete)
        }
        WriteOp::Update => {
            let found = target.reading_one_view(target.identified(input)?)?;
            target.updates(&found)?;
            target.statement.plan(table_name, found, Change::Update)
        }
        WriteOp::MergeInto(merge) => {
            let (found, change) = merge::found(&target, &table_name, input, &merge)?;
            let found = target.reading_one_view(found)?;
            target.statement.plan(table_name, found, change)
        }
        op => LogicalPlan::Dml(DmlStatement::new(table_name, source, op, Arc::new(input))),
    };
    Ok(Transformed::yes(plan))
}
