//! Removes the dynamic filter from hash joins on keys that have no minimum.
//!
//! For its dynamic filter, a hash join of DataFusion 55 computes the minimum and maximum of its keys. This fails for
//! types that DataFusion cannot order, although the join itself is correct without the filter.

use std::sync::Arc;

use arrow_schema::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::error::Result;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::joins::HashJoinExec;

/// Removes the filter from hash joins that cannot compute it. It runs after the rule that adds the filter.
#[derive(Debug)]
pub(crate) struct JoinFilters;

impl PhysicalOptimizerRule for JoinFilters {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|plan| match plan.downcast_ref::<HashJoinExec>() {
            Some(join) if !join.dynamic_expressions_produced().is_empty() && !orders_its_keys(join)? => {
                join.builder().reset_state().build_exec().map(Transformed::yes)
            }
            _ => Ok(Transformed::no(plan)),
        })
        .data()
    }

    fn name(&self) -> &'static str {
        "cayenne_join_filters"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn orders_its_keys(join: &HashJoinExec) -> Result<bool> {
    let schema = join.left().schema();
    for (key, _) in join.on() {
        if !is_ordered(&key.data_type(&schema)?) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Says whether any two values of a type can be compared. Nested types count as not comparable: DataFusion computes a
/// minimum for some of them, but by making a scalar of each row.
pub(crate) fn is_ordered(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => is_ordered(values),
        DataType::RunEndEncoded(..) => false,
        data_type => !data_type.is_nested(),
    }
}
