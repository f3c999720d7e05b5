//! Keys that are unique in a table, but not after a join or an `unnest`.
//!
//! DataFusion knows which columns determine others: a primary key determines every column of its table. After a join
//! and `GROUP BY t.id, u.x` it takes `t.id` to determine `u.x` too, and to be unique. Of `SELECT id, unnest(list)` it
//! takes `id` for unique. It then removes the other column from an `ORDER BY` or an outer `GROUP BY`, or removes a
//! `DISTINCT`, or a join with the result. Here the rules that do so are not applied above such a node.

use std::collections::HashSet;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, Dependency, get_required_group_by_exprs_indices};
use datafusion::error::Result;
use datafusion::logical_expr::{Aggregate, Distinct, Expr, LogicalPlan};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

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

/// Turns a `DISTINCT` into an aggregation, also where DataFusion would remove it.
pub(super) fn keep_distinct(
    rule: &Rule,
    plan: LogicalPlan,
    config: &dyn OptimizerConfig,
) -> Result<Transformed<LogicalPlan>> {
    match plan {
        LogicalPlan::Distinct(Distinct::All(input)) if !input.schema().fields().is_empty() && is_misjudged(&input)? => {
            let columns = input.schema().columns();
            let keys = columns.iter().cloned().map(Expr::Column).collect();
            let aggregate = Aggregate::try_new(input, keys, Vec::new())?;
            Ok(Transformed::yes(keep_keys(aggregate, &columns.iter().collect())?.data))
        }
        plan => rule.rewrite(plan, config),
    }
}

/// Keeps the keys of aggregations.
///
/// With a key, the planner also groups by all columns that the key seems to determine, so that they may be selected. It
/// leaves to `optimize_projections` to remove those that are not selected. Hence a key that is selected, or stands before
/// one that is needed, is taken for one that the statement names, and any other key for one of the planner's.
#[derive(Debug)]
pub(super) struct SelectedKeys;

impl OptimizerRule for SelectedKeys {
    fn name(&self) -> &'static str {
        "cayenne_selected_keys"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn supports_rewrite(&self) -> bool {
        true
    }

    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        match &plan {
            LogicalPlan::Projection(_) => with_kept_keys(plan, HashSet::new()),
            _ => Ok(Transformed::no(plan)),
        }
    }
}

/// Keeps the keys of the aggregation below a node that the node, or one above it, uses.
fn with_kept_keys(plan: LogicalPlan, mut used: HashSet<Column>) -> Result<Transformed<LogicalPlan>> {
    plan.apply_expressions(|expr| {
        used.extend(expr.column_refs().into_iter().cloned());
        Ok(TreeNodeRecursion::Continue)
    })?;
    let kept = plan.map_children(|input| match input {
        LogicalPlan::Aggregate(aggregate) if is_misjudged(&aggregate.input)? => {
            keep_keys(aggregate, &used.iter().collect())
        }
        LogicalPlan::Filter(_) | LogicalPlan::Sort(_) | LogicalPlan::Window(_) => {
            with_kept_keys(input, std::mem::take(&mut used))
        }
        input => Ok(Transformed::no(input)),
    })?;
    if kept.transformed { kept.map_data(LogicalPlan::recompute_schema) } else { Ok(kept) }
}

/// Removes the keys that are neither `used` nor needed, and hides from DataFusion what it knows of the others.
fn keep_keys(aggregate: Aggregate, used: &HashSet<&Column>) -> Result<Transformed<LogicalPlan>> {
    let Some(needed) = get_required_group_by_exprs_indices(aggregate.input.schema(), &key_names(&aggregate)) else {
        return Ok(Transformed::no(LogicalPlan::Aggregate(aggregate)));
    };
    let is_used = |key: &Expr| key.try_as_col().is_none_or(|column| used.contains(column));
    // The planner's keys follow those of the statement, one of which is needed.
    let is_kept = |(place, key): &(usize, &Expr)| needed.iter().any(|needed| place <= needed) || is_used(key);
    let kept: Vec<_> = aggregate.group_expr.iter().enumerate().filter(is_kept).map(|(_, key)| key).collect();
    // DataFusion removes the others.
    if kept.len() == needed.len() {
        return Ok(Transformed::no(LogicalPlan::Aggregate(aggregate)));
    }
    let columns: Vec<Column> = kept.iter().filter_map(|key| key.try_as_col()).cloned().collect();
    let kept = kept.into_iter().cloned().collect();
    with_hidden_keys(Aggregate::try_new(aggregate.input, kept, aggregate.aggr_expr)?, &columns).map(Transformed::yes)
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
