//! Aggregates with a filter over the one row of another aggregation: `SELECT max(n) FILTER (WHERE n > 9) FROM (SELECT
//! count(*) AS n …)`.
//!
//! DataFusion answers an aggregation without groups from statistics. Below the final aggregation it looks for its
//! partial aggregation, skips one with a filter, and takes the next aggregation below: the answer is that of the inner
//! query. Here such a plan is executed instead.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::{AggregateExec, AggregateInputMode};

/// Wraps the rule that answers from statistics, and skips it if it would mistake one aggregation for another.
#[derive(Debug)]
pub(super) struct OwnStatistics {
    rule: Arc<dyn PhysicalOptimizerRule + Send + Sync>,
}

impl OwnStatistics {
    pub(super) fn around(rule: Arc<dyn PhysicalOptimizerRule + Send + Sync>) -> Self {
        Self { rule }
    }
}

impl PhysicalOptimizerRule for OwnStatistics {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let mut is_mistaken = false;
        plan.apply(|node| {
            is_mistaken |= is_final(node) && has_filtered_part(node);
            Ok(if is_mistaken { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        })?;
        if is_mistaken { Ok(plan) } else { self.rule.optimize(plan, config) }
    }

    fn name(&self) -> &str {
        self.rule.name()
    }

    fn schema_check(&self) -> bool {
        self.rule.schema_check()
    }
}

fn is_final(plan: &Arc<dyn ExecutionPlan>) -> bool {
    plan.downcast_ref::<AggregateExec>().is_some_and(|aggregate| {
        aggregate.mode().input_mode() == AggregateInputMode::Partial && aggregate.group_expr().is_empty()
    })
}

/// Says whether the next aggregation below has a filter.
fn has_filtered_part(plan: &Arc<dyn ExecutionPlan>) -> bool {
    let [child] = plan.children()[..] else { return false };
    match child.downcast_ref::<AggregateExec>() {
        Some(part) => part.filter_expr().iter().any(Option::is_some),
        None => has_filtered_part(child),
    }
}
