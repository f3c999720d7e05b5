//! Wraps an optimizer rule of DataFusion in a function that decides how it runs.

use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::error::Result;
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

/// A rule of the optimizer.
pub(super) type Rule = Arc<dyn OptimizerRule + Send + Sync>;

/// Runs a rule on a plan.
type Run = fn(&Rule, LogicalPlan, &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>>;

/// Replaces a rule with a function that runs it.
#[derive(Debug)]
pub(super) struct Around {
    rule: Rule,
    run: Run,
}

impl Around {
    pub(super) fn rule(rule: &Rule, run: Run) -> Rule {
        Arc::new(Self { rule: Arc::clone(rule), run })
    }
}

impl OptimizerRule for Around {
    fn name(&self) -> &str {
        self.rule.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.rule.apply_order()
    }

    fn supports_rewrite(&self) -> bool {
        true
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        (self.run)(&self.rule, plan, config)
    }
}
