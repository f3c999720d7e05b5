//! The rule that corrects subqueries, node by node, the innermost first.

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, Filter, Join, JoinType, LogicalPlan};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

use super::node::Node;
use super::{apply, join_conditions, marks, membership};

/// Gives subqueries the meaning that SQL defines, wherever they occur.
#[derive(Debug)]
pub(super) struct Subqueries;

impl OptimizerRule for Subqueries {
    fn name(&self) -> &'static str {
        "cayenne_subqueries"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        None
    }

    fn supports_rewrite(&self) -> bool {
        true
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        if !has_subqueries(&plan)? {
            return Ok(Transformed::no(plan));
        }
        let corrected = plan.transform_up_with_subqueries(|plan| correct(plan, config))?;
        if !corrected.transformed {
            return Ok(corrected);
        }
        // DataFusion declares `IN` nullable only if its operand is. The nodes above get the nullability of what
        // replaced it.
        corrected.data.transform_up_with_subqueries(|plan| Ok(Transformed::yes(plan.recompute_schema()?)))
    }
}

fn has_subqueries(plan: &LogicalPlan) -> Result<bool> {
    let found = plan.apply(|plan| {
        let lateral = matches!(plan, LogicalPlan::Subquery(_));
        Ok(if lateral || names_subquery(plan) { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found == TreeNodeRecursion::Stop)
}

fn names_subquery(plan: &LogicalPlan) -> bool {
    let mut found = false;
    let visited = plan.apply_expressions(|expr| {
        found |= contains_subquery(expr);
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    debug_assert!(visited.is_ok(), "the visit does not fail");
    found
}

fn contains_subquery(expr: &Expr) -> bool {
    expr.exists(|expr| Ok(is_subquery(expr))).unwrap_or_default()
}

/// Says whether an expression is a subquery, or a comparison with one.
pub(super) fn is_subquery(expr: &Expr) -> bool {
    matches!(expr, Expr::InSubquery(_) | Expr::Exists(_) | Expr::ScalarSubquery(_) | Expr::SetComparison(_))
}

fn correct(plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
    match plan {
        LogicalPlan::Join(join) => correct_join(join, config),
        plan if names_subquery(&plan) => match Node::of(&plan) {
            Some(node) => correct_node(node, config),
            None => Ok(Transformed::no(plan)),
        },
        plan => Ok(Transformed::no(plan)),
    }
}

fn correct_node(mut node: Node, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
    let names = config.alias_generator();
    membership::name_operands(&mut node, names, &|plan| Ok(correct(plan, config)?.data))?;
    membership::write_out(&mut node, names)?;
    apply::uncorrelate(&mut node, names)?;
    marks::as_columns(&mut node, config)?;
    node.finish()
}

/// Corrects a join. The condition of an inner join with subqueries becomes a filter above it, where they can be
/// corrected.
fn correct_join(mut join: Join, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
    match join.filter.take() {
        Some(condition) if join.join_type == JoinType::Inner && contains_subquery(&condition) => {
            let joined = apply::lateral(join, config.alias_generator())?.data;
            let filter = LogicalPlan::Filter(Filter::try_new(condition, joined.into())?);
            Ok(Transformed::yes(correct(filter, config)?.data))
        }
        Some(condition) if contains_subquery(&condition) => {
            let correct = |plan| Ok(correct(plan, config)?.data);
            let joined = join_conditions::as_columns(join, condition, config.alias_generator(), &correct)?;
            Ok(Transformed::yes(joined))
        }
        condition => {
            join.filter = condition;
            apply::lateral(join, config.alias_generator())
        }
    }
}
