//! Grouping sets whose keys are constants.
//!
//! DataFusion takes a key that is constant below an aggregation to be constant above it, and leaves out a sort by it.
//! With grouping sets the key is NULL in the rows of sets that lack it (apache/datafusion 24421). Here such keys pass
//! through an identity function that the optimizer knows nothing about.

use std::sync::Arc;

use datafusion::common::Column;
use datafusion::common::tree_node::Transformed;
use datafusion::error::Result;
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan, Projection};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

use super::list_merges::Apart;
use crate::project::project;

/// Hides the keys of grouping sets behind an opaque function.
#[derive(Debug)]
pub(super) struct GroupingKeys;

impl OptimizerRule for GroupingKeys {
    fn name(&self) -> &'static str {
        "cayenne_grouping_keys"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn supports_rewrite(&self) -> bool {
        true
    }

    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        match plan {
            LogicalPlan::Aggregate(aggregate) if has_sets(&aggregate) && !is_hidden(&aggregate.input) => {
                hidden(aggregate).map(Transformed::yes)
            }
            plan => Ok(Transformed::no(plan)),
        }
    }
}

fn has_sets(aggregate: &Aggregate) -> bool {
    aggregate.group_expr.iter().any(|expr| matches!(expr, Expr::GroupingSet(_)))
}

fn is_hidden(input: &LogicalPlan) -> bool {
    matches!(input, LogicalPlan::Projection(Projection { expr, .. }) if expr.iter().any(Apart::hides))
}

fn hidden(aggregate: Aggregate) -> Result<LogicalPlan> {
    let keys: Vec<_> = aggregate.group_expr.iter().flat_map(|expr| expr.column_refs()).cloned().collect();
    with_hidden_keys(aggregate, &keys)
}

/// Passes columns through an opaque function, below an aggregation that groups by them.
pub(super) fn with_hidden_keys(aggregate: Aggregate, keys: &[Column]) -> Result<LogicalPlan> {
    let input = Arc::unwrap_or_clone(aggregate.input);
    let columns = input.schema().columns().into_iter().map(|column| {
        let value = Expr::Column(column.clone());
        if keys.contains(&column) { Apart::hiding(value).alias_qualified(column.relation, column.name) } else { value }
    });
    let input = project(columns.collect(), input)?;
    Ok(LogicalPlan::Aggregate(Aggregate::try_new(Arc::new(input), aggregate.group_expr, aggregate.aggr_expr)?))
}
