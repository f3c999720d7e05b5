//! Sort-merge joins with conditions beside their keys.
//!
//! When DataFusion moves a projection below such a join, the condition goes on naming the columns by their old places, and
//! reads others, or none: here such a join is guarded while that rule runs. And the join evaluates a condition only if it
//! has columns, and takes one without for true: it is given a column, which it does not look at.

use std::collections::HashSet;
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

use super::guard::Guard;

/// Runs the rule that moves projections, and keeps them above such joins.
#[derive(Debug)]
pub(super) struct ConditionsInPlace {
    rule: Arc<dyn PhysicalOptimizerRule + Send + Sync>,
}

impl ConditionsInPlace {
    pub(super) fn around(rule: Arc<dyn PhysicalOptimizerRule + Send + Sync>) -> Self {
        Self { rule }
    }
}

impl PhysicalOptimizerRule for ConditionsInPlace {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let guarded = plan.transform_up(|plan| match condition_of(&plan) {
            Some(_) => Ok(Transformed::yes(Guard::above(plan, HashSet::new()))),
            None => Ok(Transformed::no(plan)),
        })?;
        let done = self.rule.optimize(guarded.data, config)?;
        if guarded.transformed { Guard::removed(done) } else { Ok(done) }
    }

    fn name(&self) -> &str {
        self.rule.name()
    }

    fn schema_check(&self) -> bool {
        self.rule.schema_check()
    }
}

/// Gives conditions a column that have none.
#[derive(Debug)]
pub(super) struct ConditionsWithColumns;

impl PhysicalOptimizerRule for ConditionsWithColumns {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|plan| match condition_of(&plan) {
            Some((join, condition)) if condition.column_indices().is_empty() => {
                with_column(join, condition).map(Transformed::yes)
            }
            _ => Ok(Transformed::no(plan)),
        })
        .data()
    }

    fn name(&self) -> &'static str {
        "cayenne_conditions_with_columns"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn condition_of(plan: &Arc<dyn ExecutionPlan>) -> Option<(&SortMergeJoinExec, &JoinFilter)> {
    let join = plan.downcast_ref::<SortMergeJoinExec>()?;
    Some((join, join.filter.as_ref()?))
}

fn with_column(join: &SortMergeJoinExec, condition: &JoinFilter) -> Result<Arc<dyn ExecutionPlan>> {
    let schema = Schema::new(join.left.schema().fields().iter().take(1).cloned().collect::<Vec<_>>());
    let columns = (0..schema.fields().len()).map(|index| ColumnIndex { index, side: JoinSide::Left });
    let filter = JoinFilter::new(Arc::clone(condition.expression()), columns.collect(), Arc::new(schema));
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
