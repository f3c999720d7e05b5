//! Joins whose keys treat nulls as equal.
//!
//! A join has one null equality for all its keys. DataFusion also makes keys of the equalities in its condition, which
//! must not treat nulls as equal: `a JOIN b ON a.x IS NOT DISTINCT FROM b.x WHERE a.y = b.y` then returns the rows
//! where both `y` are NULL. When DataFusion reorders inner joins, all of them get the null equality of one of them.
//!
//! Here the rule that makes keys skips joins whose keys treat nulls as equal. The rule that reorders joins sees their
//! keys as `IS NOT DISTINCT FROM` conditions. Then the first rule runs once more and makes keys of them again.

use datafusion::common::NullEquality;
use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Join, JoinType, LogicalPlan, Operator, binary_expr};
use datafusion::optimizer::OptimizerConfig;

use super::around::Rule;

/// Runs the rule that turns equalities into keys, except for joins whose keys treat nulls as equal.
pub(super) fn make_keys(
    rule: &Rule,
    plan: LogicalPlan,
    config: &dyn OptimizerConfig,
) -> Result<Transformed<LogicalPlan>> {
    match &plan {
        LogicalPlan::Join(join) if has_equal_nulls(join) => Ok(Transformed::no(plan)),
        _ => rule.rewrite(plan, config),
    }
}

/// Runs the rule that reorders inner joins, after the keys that treat nulls as equal have become conditions.
pub(super) fn order_joins(
    rule: &Rule,
    plan: LogicalPlan,
    config: &dyn OptimizerConfig,
) -> Result<Transformed<LogicalPlan>> {
    if !has_inner_join_of_equal_nulls(&plan)? {
        return rule.rewrite(plan, config);
    }
    let plan = plan.transform_up_with_subqueries(|plan| match plan {
        LogicalPlan::Join(join) if join.join_type == JoinType::Inner && has_equal_nulls(&join) => {
            Ok(Transformed::yes(LogicalPlan::Join(with_condition(join))))
        }
        plan => Ok(Transformed::no(plan)),
    })?;
    rule.rewrite(plan.data, config)
}

fn has_inner_join_of_equal_nulls(plan: &LogicalPlan) -> Result<bool> {
    let found = plan.apply_with_subqueries(|plan| match plan {
        LogicalPlan::Join(join) if join.join_type == JoinType::Inner && has_equal_nulls(join) => {
            Ok(TreeNodeRecursion::Stop)
        }
        _ => Ok(TreeNodeRecursion::Continue),
    })?;
    Ok(found == TreeNodeRecursion::Stop)
}

fn has_equal_nulls(join: &Join) -> bool {
    join.null_equality == NullEquality::NullEqualsNull && !join.on.is_empty()
}

fn with_condition(join: Join) -> Join {
    let equal = |(left, right)| binary_expr(left, Operator::IsNotDistinctFrom, right);
    let filter = conjunction(join.on.into_iter().map(equal).chain(join.filter));
    Join { on: Vec::new(), filter, null_equality: NullEquality::NullEqualsNothing, ..join }
}
