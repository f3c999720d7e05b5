//! `EXISTS` and `IN` as the value of a column, a group, an argument: DataFusion knows them in a `WHERE` only.
//!
//! The rule that it has for them there is given a filter with the one condition. What it makes of it is a join that marks
//! the rows of its input; the mark becomes a column that the expression then names.

use datafusion::common::Column;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, Filter, LogicalPlan, Projection};
use datafusion::optimizer::decorrelate_predicate_subquery::DecorrelatePredicateSubquery;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

use super::node::Node;
use crate::project::project;

/// Replaces the conditions with subqueries in a node that is not a filter by columns of its input.
pub(super) fn as_columns(node: &mut Node, config: &dyn OptimizerConfig) -> Result<()> {
    if node.is_filter() {
        return Ok(());
    }
    node.rewrite(|node, expr| {
        expr.transform_up(|expr| match expr {
            Expr::Exists(_) | Expr::InSubquery(_) => marked(node, expr, config),
            expr => Ok(Transformed::no(expr)),
        })
    })
}

fn marked(node: &mut Node, condition: Expr, config: &dyn OptimizerConfig) -> Result<Transformed<Expr>> {
    let input = node.input();
    let mut columns: Vec<_> = input.schema().columns().into_iter().map(Expr::Column).collect();
    // Below `IS TRUE`, so that it becomes a mark and not a filter.
    let filter = Filter::try_new(condition.clone().is_true(), input.clone().into())?;
    let joined = DecorrelatePredicateSubquery::new().rewrite(LogicalPlan::Filter(filter), config)?;
    let Some((mark, joined)) = mark_of(joined.data) else { return Ok(Transformed::no(condition)) };
    let name = config.alias_generator().next("__cayenne_mark");
    columns.push(mark.alias(&name));
    node.set_input(project(columns, joined)?);
    Ok(Transformed::yes(Expr::Column(Column::new_unqualified(name))))
}

/// Returns the mark, and the join that has it as a column.
fn mark_of(plan: LogicalPlan) -> Option<(Expr, LogicalPlan)> {
    let LogicalPlan::Projection(Projection { input, .. }) = plan else { return None };
    let LogicalPlan::Filter(Filter { predicate: Expr::IsTrue(mark), input, .. }) = input.as_ref() else { return None };
    Some((mark.as_ref().clone(), input.as_ref().clone()))
}
