//! Sort-merge joins with a condition besides their keys.
//!
//! DataFusion takes a condition without columns for true; here it gets a column that it does not use. An outer join
//! also evaluates its condition for rows without a partner, and fails if a column is NOT NULL; here all columns of the
//! condition are nullable.

use std::sync::Arc;

use arrow_schema::{FieldRef, Schema};
use datafusion::common::JoinSide;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::error::Result;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::joins::SortMergeJoinExec;
use datafusion::physical_plan::joins::utils::{ColumnIndex, JoinFilter};

/// Rewrites the conditions of sort-merge joins so that they can be evaluated for every row.
#[derive(Debug)]
pub(super) struct ConditionsOfAnyRow;

impl PhysicalOptimizerRule for ConditionsOfAnyRow {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|plan| match condition_of(&plan) {
            Some((join, condition)) => Ok(Transformed::yes(with_condition(join, of_any_row(join, condition))?)),
            None => Ok(Transformed::no(plan)),
        })
        .data()
    }

    fn name(&self) -> &'static str {
        "cayenne_conditions_of_any_row"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn of_any_row(join: &SortMergeJoinExec, condition: &JoinFilter) -> JoinFilter {
    let (columns, fields) = match condition.column_indices() {
        [] => (vec![ColumnIndex { index: 0, side: JoinSide::Left }], join.left.schema().fields().clone()),
        columns => (columns.to_vec(), condition.schema().fields().clone()),
    };
    let nullable = |field: &FieldRef| field.as_ref().clone().with_nullable(true);
    let fields: Vec<_> = fields.iter().take(columns.len()).map(nullable).collect();
    JoinFilter::new(Arc::clone(condition.expression()), columns, Arc::new(Schema::new(fields)))
}

fn condition_of(plan: &Arc<dyn ExecutionPlan>) -> Option<(&SortMergeJoinExec, &JoinFilter)> {
    let join = plan.downcast_ref::<SortMergeJoinExec>()?;
    Some((join, join.filter.as_ref()?))
}

fn with_condition(join: &SortMergeJoinExec, condition: JoinFilter) -> Result<Arc<dyn ExecutionPlan>> {
    Ok(Arc::new(SortMergeJoinExec::try_new(
        Arc::clone(&join.left),
        Arc::clone(&join.right),
        join.on.clone(),
        Some(condition),
        join.join_type,
        join.sort_options.clone(),
        join.null_equality,
    )?))
}
