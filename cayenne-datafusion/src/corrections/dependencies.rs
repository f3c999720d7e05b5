//! Keys that are unique in a table, but not after a join or an `unnest`.
//!
//! DataFusion knows which columns determine others: a primary key determines every column of its table. After a join
//! and `GROUP BY t.id, u.x` it takes `t.id` to determine `u.x` too, and to be unique. Of `SELECT id, unnest(list)` it
//! takes `id` for unique. It then removes the other column from an `ORDER BY` or an outer `GROUP BY`, or removes a
//! `DISTINCT`, or a join with the result. Here the rules that do so are not applied above such a node.

use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::common::{Dependency, get_required_group_by_exprs_indices};
use datafusion::error::Result;
use datafusion::logical_expr::{Aggregate, Distinct, Expr, LogicalPlan};
use datafusion::optimizer::OptimizerConfig;

use super::around::Rule;
use super::grouping_keys::with_hidden_keys;

/// Keeps the keys of a sort.
pub(super) fn keep_sort_keys(
    rule: &Rule,
    plan: LogicalPlan,
    config: &dyn OptimizerConfig,
) -> Result<Transformed<LogicalPlan>> {
    match &plan {
        LogicalPlan::Sort(sort) if is_misjudged(&sort.input)? => Ok(Transformed::no(plan)),
        _ => rule.rewrite(plan, config),
    }
}

/// Keeps joins.
pub(super) fn keep_joins(
    rule: &Rule,
    plan: LogicalPlan,
    config: &dyn OptimizerConfig,
) -> Result<Transformed<LogicalPlan>> {
    if is_misjudged(&plan)? { Ok(Transformed::no(plan)) } else { rule.rewrite(plan, config) }
}

/// Makes an aggregation of a `DISTINCT`, also where DataFusion would remove it.
pub(super) fn keep_distinct(
    rule: &Rule,
    plan: LogicalPlan,
    config: &dyn OptimizerConfig,
) -> Result<Transformed<LogicalPlan>> {
    match plan {
        LogicalPlan::Distinct(Distinct::All(input)) if !input.schema().fields().is_empty() && is_misjudged(&input)? => {
            let keys = input.schema().columns().into_iter().map(Expr::Column).collect();
            Ok(Transformed::yes(LogicalPlan::Aggregate(Aggregate::try_new(input, keys, Vec::new())?)))
        }
        plan => rule.rewrite(plan, config),
    }
}

/// Keeps the keys of an aggregation, by hiding what DataFusion knows of them.
pub(super) fn keep_group_keys(
    rule: &Rule,
    plan: LogicalPlan,
    config: &dyn OptimizerConfig,
) -> Result<Transformed<LogicalPlan>> {
    let hidden = plan.transform_down_with_subqueries(|plan| match plan {
        LogicalPlan::Aggregate(aggregate) if would_lose_keys(&aggregate)? => {
            with_hidden_keys(aggregate).map(Transformed::yes)
        }
        plan => Ok(Transformed::no(plan)),
    })?;
    let done = rule.rewrite(hidden.data, config)?;
    Ok(Transformed::new_transformed(done.data, done.transformed || hidden.transformed))
}

fn would_lose_keys(aggregate: &Aggregate) -> Result<bool> {
    let needed = get_required_group_by_exprs_indices(aggregate.input.schema(), &key_names(aggregate));
    Ok(needed.is_some_and(|needed| needed.len() < aggregate.group_expr.len()) && is_misjudged(&aggregate.input)?)
}

fn key_names(aggregate: &Aggregate) -> Vec<String> {
    aggregate.group_expr.iter().map(|expr| expr.schema_name().to_string()).collect()
}

/// Says whether DataFusion takes a key for more than it is somewhere in a plan.
fn is_misjudged(plan: &LogicalPlan) -> Result<bool> {
    let mut is_found = false;
    plan.apply_with_subqueries(|plan| {
        is_found |= match plan {
            LogicalPlan::Aggregate(aggregate) => overrates_a_key(aggregate),
            LogicalPlan::Unnest(unnest) => unnest.input.schema().functional_dependencies().iter().next().is_some(),
            _ => false,
        };
        Ok(if is_found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(is_found)
}

/// Says whether an aggregation groups by a key of its input, and also by columns that this key does not determine.
///
/// A key whose values may repeat in the input, as after a join, determines the columns of its own table only.
fn overrates_a_key(aggregate: &Aggregate) -> bool {
    let input = aggregate.input.schema();
    let dependencies = input.functional_dependencies();
    if dependencies.iter().all(|dependency| dependency.mode == Dependency::Single) {
        return false;
    }
    let (names, keys) = (input.field_names(), key_names(aggregate));
    let place = |key: &String| names.iter().position(|name| name == key);
    let keys: Vec<Option<usize>> = keys.iter().map(place).collect();
    dependencies.iter().filter(|dependency| dependency.mode == Dependency::Multi).any(|dependency| {
        let is_determined = |key: &Option<usize>| {
            key.is_some_and(|at| dependency.target_indices.contains(&at) || dependency.source_indices.contains(&at))
        };
        dependency.source_indices.iter().all(|source| keys.contains(&Some(*source))) && !keys.iter().all(is_determined)
    })
}
