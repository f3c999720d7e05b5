//! Conditions above an aggregation that must not be moved below it.
//!
//! DataFusion moves conditions on group keys below an aggregation. It treats a condition that names no column as one of
//! them. But an aggregation without keys, or with an empty grouping set, returns a row even if its input is empty, so a
//! false condition below it does not remove that row. DataFusion also computes a volatile key, such as `random()`, a
//! second time in the moved condition. Here such a filter stays above the aggregation.

use datafusion::common::tree_node::Transformed;
use datafusion::error::Result;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Aggregate, Expr, Filter, LogicalPlan};
use datafusion::optimizer::OptimizerConfig;

use super::around::Rule;

/// Runs the rule that moves filters down, except for such filters.
pub(super) fn run(rule: &Rule, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
    match &plan {
        LogicalPlan::Filter(filter) if stays(filter) => Ok(Transformed::no(plan)),
        _ => rule.rewrite(plan, config),
    }
}

fn stays(filter: &Filter) -> bool {
    let mut conditions = split_conjunction(&filter.predicate);
    let mut input = &filter.input;
    // The rule merges adjacent filters into one.
    while let LogicalPlan::Filter(filter) = input.as_ref() {
        conditions.extend(split_conjunction(&filter.predicate));
        input = &filter.input;
    }
    match input.as_ref() {
        LogicalPlan::Aggregate(aggregate) => {
            aggregate.group_expr.iter().any(Expr::is_volatile)
                || (may_have_a_row_of_nothing(aggregate)
                    && conditions.iter().any(|condition| !condition.any_column_refs()))
        }
        _ => false,
    }
}

fn may_have_a_row_of_nothing(aggregate: &Aggregate) -> bool {
    aggregate.group_expr.is_empty() || aggregate.group_expr.iter().any(|expr| matches!(expr, Expr::GroupingSet(_)))
}
