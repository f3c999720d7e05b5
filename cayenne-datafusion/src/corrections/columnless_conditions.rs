//! Conditions of joins that name no column.
//!
//! The sort-merge join of DataFusion evaluates a condition only if it has columns, and takes one without for true. Here it is
//! given a column, which it does not look at.

use std::sync::Arc;

use arrow_schema::Schema;
use datafusion::common::JoinSide;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::error::Result;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::joins::SortMergeJoinExec;
use datafusion::physical_plan::joins::utils::{ColumnIndex, JoinFilter};

/// Gives such conditions a column.
#[derive(Debug)]
pub(super) struct ColumnlessConditions;

impl PhysicalOptimizerRule for ColumnlessConditions {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|plan| match plan.downcast_ref::<SortMergeJoinExec>().and_then(with_column) {
            Some(join) => Ok(Transformed::yes(Arc::new(join?) as Arc<dyn ExecutionPlan>)),
            None => Ok(Transformed::no(plan)),
        })
        .data()
    }

    fn name(&self) -> &'static str {
        "cayenne_columnless_conditions"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn with_column(join: &SortMergeJoinExec) -> Option<Result<SortMergeJoinExec>> {
    let filter = join.filter.as_ref().filter(|filter| filter.column_indices().is_empty())?;
    // A join has a key on each side.
    let field = Arc::clone(join.left.schema().fields().first()?);
    let column = ColumnIndex { index: 0, side: JoinSide::Left };
    let filter = JoinFilter::new(Arc::clone(filter.expression()), vec![column], Arc::new(Schema::new(vec![field])));
    Some(SortMergeJoinExec::try_new(
        Arc::clone(&join.left),
        Arc::clone(&join.right),
        join.on.clone(),
        Some(filter),
        join.join_type,
        join.sort_options.clone(),
        join.null_equality,
    ))
}
