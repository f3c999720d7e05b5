//! `SELECT DISTINCT … LIMIT` over ordered input.
//!
//! A rule of DataFusion pushes the limit into the aggregation if its input has no order. If a later rule gives the
//! input an order, the aggregation mistakes the limit for the limit of a sort, and fails with *Ordering direction
//! required for DISTINCT with limit*. Here the aggregation loses the limit; another node still applies it.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::error::Result;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::AggregateExec;

/// Removes limits from aggregations that would misinterpret them. This rule runs last.
#[derive(Debug)]
pub(super) struct DistinctLimits;

impl PhysicalOptimizerRule for DistinctLimits {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|plan| match plan.downcast_ref::<AggregateExec>() {
            Some(aggregate) if mistakes_its_limit(aggregate) => {
                let unlimited = aggregate.with_new_limit_options(None);
                Ok(Transformed::yes(Arc::new(unlimited) as Arc<dyn ExecutionPlan>))
            }
            _ => Ok(Transformed::no(plan)),
        })
        .data()
    }

    fn name(&self) -> &'static str {
        "cayenne_distinct_limits"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn mistakes_its_limit(aggregate: &AggregateExec) -> bool {
    let is_of_sort = aggregate.get_minmax_desc().is_some();
    let has_no_direction = aggregate.limit_options().is_some_and(|limit| limit.descending().is_none());
    has_no_direction && !is_of_sort && !aggregate.is_unordered_unfiltered_group_by_distinct()
}
