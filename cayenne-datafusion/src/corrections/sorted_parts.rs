//! Top-k of a union whose inputs each have a constant column: `… UNION ALL … ORDER BY c, k LIMIT 2`.
//!
//! DataFusion leaves a column out of the sort of an input in which it is constant, and merges the inputs by all
//! columns. But the sorts share one top-k threshold, and without that column the threshold of one input drops rows of
//! another. Here every input is sorted by all columns.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::error::Result;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;

/// Makes each input's sort use all the columns by which the inputs are merged. This rule runs last.
#[derive(Debug)]
pub(super) struct SortedParts;

impl PhysicalOptimizerRule for SortedParts {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|plan| match plan.downcast_ref::<SortPreservingMergeExec>().and_then(with_all_columns) {
            Some(merge) => Ok(Transformed::yes(merge)),
            None => Ok(Transformed::no(plan)),
        })
        .data()
    }

    fn name(&self) -> &'static str {
        "cayenne_sorted_parts"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn with_all_columns(merge: &SortPreservingMergeExec) -> Option<Arc<dyn ExecutionPlan>> {
    let sort = merge.input().downcast_ref::<SortExec>()?;
    if sort.fetch().is_none() || sort.expr() == merge.expr() {
        return None;
    }
    let sorted = SortExec::new(merge.expr().clone(), Arc::clone(sort.input()))
        .with_preserve_partitioning(sort.preserve_partitioning())
        .with_fetch(sort.fetch());
    let merged = SortPreservingMergeExec::new(merge.expr().clone(), Arc::new(sorted)).with_fetch(merge.fetch());
    Some(Arc::new(merged))
}
