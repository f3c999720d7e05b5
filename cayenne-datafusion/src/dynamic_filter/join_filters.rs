//! Joins on values without a minimum make no filter for the scan of their other side.
//!
//! DataFusion 55 has a hash join compute the minimum and the maximum of its keys for that filter, and fails for types
//! that it cannot order: the join is right without the filter, and wrong only because of it.

use std::sync::Arc;

use arrow_schema::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::error::Result;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::joins::HashJoinExec;

/// Takes the filter from hash joins that could not make it. It comes after the rule that gives them one.
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

/// Says whether every value of a type can be compared with every other. Values with parts count as those that cannot: of
/// some of them DataFusion has a minimum, by making a scalar of each row.
pub(crate) fn is_ordered(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => is_ordered(values),
        DataType::RunEndEncoded(..) => false,
        data_type => !data_type.is_nested(),
    }
}
