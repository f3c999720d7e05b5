//! Removes the dynamic filter from hash joins that fail or hang with it.
//!
//! For its dynamic filter, a hash join of DataFusion 55 computes the minimum and maximum of its keys. This fails for
//! types that DataFusion cannot order, although the join itself is correct without the filter.
//!
//! A hash join in the mode `CollectLeft` waits until each of its output partitions has reported its build side. If it
//! feeds a partitioned join partition by partition, and a partition of that join ends early because its own build side
//! is empty, the partition below it never runs and never reports: its siblings wait forever. DataFusion handles this
//! for joins in the mode `Partitioned` only (apache/datafusion 21666). Here such a join has no filter.

use std::sync::Arc;

use arrow_schema::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::error::Result;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::joins::{HashJoinExec, PartitionMode, SortMergeJoinExec};
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;

/// Removes the filter from hash joins that cannot compute it, or that would wait for a partition that never runs. It
/// runs after the rule that adds the filter.
#[derive(Debug)]
pub(crate) struct JoinFilters;

impl PhysicalOptimizerRule for JoinFilters {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let ordered = plan.transform_up(|plan| match plan.downcast_ref::<HashJoinExec>() {
            Some(join) if has_filter(join) && !orders_its_keys(join)? => without_filter(join).map(Transformed::yes),
            _ => Ok(Transformed::no(plan)),
        });
        without_waiting_joins(ordered.data()?, false).data()
    }

    fn name(&self) -> &'static str {
        "cayenne_join_filters"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn has_filter(join: &HashJoinExec) -> bool {
    !join.dynamic_expressions_produced().is_empty()
}

fn without_filter(join: &HashJoinExec) -> Result<Arc<dyn ExecutionPlan>> {
    join.builder().reset_state().build_exec()
}

/// Removes the filters of joins that would wait for partitions which a join above them may leave out.
fn without_waiting_joins(
    plan: Arc<dyn ExecutionPlan>,
    may_be_left_out: bool,
) -> Result<Transformed<Arc<dyn ExecutionPlan>>> {
    let plan = match plan.downcast_ref::<HashJoinExec>() {
        Some(join) if may_be_left_out && *join.partition_mode() == PartitionMode::CollectLeft && has_filter(join) => {
            Transformed::yes(without_filter(join)?)
        }
        _ => Transformed::no(plan),
    };
    let may_be_left_out = (may_be_left_out || joins_partitions(&plan.data)) && !runs_all_partitions(&plan.data);
    let done = plan.data.map_children(|input| without_waiting_joins(input, may_be_left_out))?;
    Ok(Transformed::new_transformed(done.data, plan.transformed || done.transformed))
}

/// Says whether a node joins each partition of one input with the same partition of the other.
fn joins_partitions(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let partitioned = |join: &HashJoinExec| *join.partition_mode() == PartitionMode::Partitioned;
    plan.downcast_ref::<HashJoinExec>().is_some_and(partitioned) || plan.downcast_ref::<SortMergeJoinExec>().is_some()
}

fn runs_all_partitions(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.downcast_ref::<RepartitionExec>().is_some()
        || plan.downcast_ref::<CoalescePartitionsExec>().is_some()
        || plan.downcast_ref::<SortPreservingMergeExec>().is_some()
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
