//! A rule of DataFusion that is run in another way.

use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::error::Result;
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

/// A rule of the optimizer.
pub(super) type Rule = Arc<dyn OptimizerRule + Send + Sync>;

/// How a rule is run on a plan.
type Run = fn(&Rule, LogicalPlan, &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>>;

/// Takes the place of a rule, and says how it is run.
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
