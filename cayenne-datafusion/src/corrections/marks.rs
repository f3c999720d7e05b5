//! `EXISTS` and `IN` outside a `WHERE`: as a column, a grouping key or an argument. DataFusion supports them in a
//! `WHERE` only.
//!
//! DataFusion's rule for `WHERE` is given a filter with the one condition. It returns a join that marks the rows of its
//! input. The mark becomes a column, which replaces the condition in the expression.

use datafusion::common::Column;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, Filter, LogicalPlan, Projection};
use datafusion::optimizer::decorrelate_predicate_subquery::DecorrelatePredicateSubquery;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

use super::node::Node;
use crate::project::project;

/// Replaces conditions with subqueries by columns of the node's input, unless the node is a filter.
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
    // Inside `IS TRUE`, the condition becomes a mark and not a filter.
    let filter = Filter::try_new(condition.clone().is_true(), input.clone().into())?;
    let joined = DecorrelatePredicateSubquery::new().rewrite(LogicalPlan::Filter(filter), config)?;
    let Some((mark, joined)) = mark_of(joined.data) else { return Ok(Transformed::no(condition)) };
    let name = config.alias_generator().next("__cayenne_mark");
    columns.push(mark.alias(&name));
    node.set_input(project(columns, joined)?);
    Ok(Transformed::yes(Expr::Column(Column::new_unqualified(name))))
}

/// Returns the mark, and the join that outputs it.
fn mark_of(plan: LogicalPlan) -> Option<(Expr, LogicalPlan)> {
    let LogicalPlan::Projection(Projection { input, .. }) = plan else { return None };
    let LogicalPlan::Filter(Filter { predicate: Expr::IsTrue(mark), input, .. }) = input.as_ref() else { return None };
    Some((mark.as_ref().clone(), input.as_ref().clone()))
}
