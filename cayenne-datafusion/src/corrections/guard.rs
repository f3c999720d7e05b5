//! A guard node, which keeps a rule from moving something past the node below it.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::filter_pushdown::{
    ChildFilterDescription, ChildPushdownResult, FilterDescription, FilterPushdownPhase, FilterPushdownPropagation,
};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};

/// Shields a node of a physical plan from a rule. It is removed before the plan runs.
#[derive(Debug)]
pub(super) struct Guard {
    input: Arc<dyn ExecutionPlan>,
    /// The columns on which filters may pass.
    filtered: HashSet<usize>,
}

impl Guard {
    /// Puts a guard above a node. Only filters on the given columns pass it.
    pub(super) fn above(input: Arc<dyn ExecutionPlan>, filtered: HashSet<usize>) -> Arc<dyn ExecutionPlan> {
        Arc::new(Self { input, filtered })
    }

    /// Removes all guards from a plan.
    pub(super) fn removed(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|plan| match plan.downcast_ref::<Self>() {
            Some(guard) => Ok(Transformed::yes(Arc::clone(&guard.input))),
            None => Ok(Transformed::no(plan)),
        })
        .data()
    }
}

impl DisplayAs for Guard {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CayenneGuard")
    }
}

impl ExecutionPlan for Guard {
    fn name(&self) -> &'static str {
        "CayenneGuard"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    // Deprecated, but still a required method of the trait.
    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let input = children.into_iter().next().unwrap_or_else(|| Arc::clone(&self.input));
        Ok(Arc::new(Self { input, filtered: self.filtered.clone() }))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.input.execute(partition, context)
    }

    fn gather_filters_for_pushdown(
        &self,
        _: FilterPushdownPhase,
        parent_filters: Vec<Arc<dyn PhysicalExpr>>,
        _: &ConfigOptions,
    ) -> Result<FilterDescription> {
        let filtered = self.filtered.clone();
        let allowed = ChildFilterDescription::from_child_with_allowed_indices(&parent_filters, filtered, &self.input)?;
        Ok(FilterDescription::new().with_child(allowed))
    }

    fn handle_child_pushdown_result(
        &self,
        _: FilterPushdownPhase,
        child_pushdown_result: ChildPushdownResult,
        _: &ConfigOptions,
    ) -> Result<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        Ok(FilterPushdownPropagation::if_all(child_pushdown_result))
    }
}
