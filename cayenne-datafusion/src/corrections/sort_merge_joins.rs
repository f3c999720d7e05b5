//! Sort-merge joins with conditions beside their keys.
//!
//! That of DataFusion evaluates a condition only if it has columns, and takes one without for true: here it is given a
//! column, which it does not look at. A full join with a condition ends in errors about its own columns and in panics: a hash
//! join takes its place.

use std::sync::Arc;

use arrow_schema::Schema;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{JoinSide, JoinType};
use datafusion::error::Result;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::joins::utils::{ColumnIndex, JoinFilter};
use datafusion::physical_plan::joins::{HashJoinExec, PartitionMode, SortMergeJoinExec};

/// Corrects such joins.
#[derive(Debug)]
pub(super) struct SortMergeJoins;

impl PhysicalOptimizerRule for SortMergeJoins {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|plan| {
            let Some(join) = plan.downcast_ref::<SortMergeJoinExec>() else { return Ok(Transformed::no(plan)) };
            match &join.filter {
                Some(filter) if join.join_type == JoinType::Full => hashed(join, filter).map(Transformed::yes),
                Some(filter) if filter.column_indices().is_empty() => with_column(join, filter).map(Transformed::yes),
                _ => Ok(Transformed::no(plan)),
            }
        })
        .data()
    }

    fn name(&self) -> &'static str {
        "cayenne_sort_merge_joins"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn hashed(join: &SortMergeJoinExec, filter: &JoinFilter) -> Result<Arc<dyn ExecutionPlan>> {
    Ok(Arc::new(HashJoinExec::try_new(
        Arc::clone(&join.left),
        Arc::clone(&join.right),
        join.on.clone(),
        Some(filter.clone()),
        &join.join_type,
        None,
        PartitionMode::Partitioned,
        join.null_equality,
        false,
    )?))
}

fn with_column(join: &SortMergeJoinExec, filter: &JoinFilter) -> Result<Arc<dyn ExecutionPlan>> {
    let schema = Schema::new(join.left.schema().fields().iter().take(1).cloned().collect::<Vec<_>>());
    let columns = (0..schema.fields().len()).map(|index| ColumnIndex { index, side: JoinSide::Left });
    let filter = JoinFilter::new(Arc::clone(filter.expression()), columns.collect(), Arc::new(schema));
    Ok(Arc::new(SortMergeJoinExec::try_new(
        Arc::clone(&join.left),
        Arc::clone(&join.right),
        join.on.clone(),
        Some(filter),
        join.join_type,
        join.sort_options.clone(),
        join.null_equality,
    )?))
}
