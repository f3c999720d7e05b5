//! Keeps projections above nodes whose condition would read the wrong columns.
//!
//! When DataFusion moves a projection below a sort-merge join with a condition, or below a filter that has a projection
//! of its own, the condition keeps the old column indices, and reads other columns or none. Such nodes are guarded
//! while that rule runs. A projection above them stays where it is, at the cost of renumbering columns.

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::SortMergeJoinExec;

use super::guard::Guard;

/// Wraps the rule that moves projections down, and keeps projections above such nodes.
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
        let guarded = plan.transform_up(|plan| {
            if would_read_other_columns(&plan) {
                Ok(Transformed::yes(Guard::above(plan, HashSet::new())))
            } else {
                Ok(Transformed::no(plan))
            }
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

fn would_read_other_columns(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let condition_of_join = plan.downcast_ref::<SortMergeJoinExec>().is_some_and(|join| join.filter.is_some());
    condition_of_join || plan.downcast_ref::<FilterExec>().is_some_and(|filter| filter.projection().is_some())
}
