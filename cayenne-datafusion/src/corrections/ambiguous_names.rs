//! Filters on one of two columns with the same name.
//!
//! When DataFusion pushes a filter of a physical plan down, nodes find its columns in their input by name
//! (`FilterRemapper`). After a join of two tables that both have a column `a`, a filter on the second becomes one on the
//! first, and rows are lost; the threshold of `ORDER BY … LIMIT` and the keys of a join are such filters too
//! (apache/datafusion 25296).
//!
//! While the rule runs, each input with two columns of one name has a node above it that lets through only filters whose
//! columns are named once. The others stay where they are.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use arrow_schema::{FieldRef, Schema};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::Result;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::filter_pushdown::{
    ChildFilterDescription, ChildPushdownResult, FilterDescription, FilterPushdownPhase, FilterPushdownPropagation,
};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};

/// Runs a rule that pushes filters down, and keeps it from mistaking one column for another.
#[derive(Debug)]
pub(super) struct NamesApart {
    rule: Arc<dyn PhysicalOptimizerRule + Send + Sync>,
}

impl NamesApart {
    pub(super) fn around(rule: Arc<dyn PhysicalOptimizerRule + Send + Sync>) -> Self {
        Self { rule }
    }
}

impl PhysicalOptimizerRule for NamesApart {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let guarded = plan.transform_up(|plan| {
            let named_once = named_once(&plan.schema());
            if named_once.len() == plan.schema().fields().len() {
                return Ok(Transformed::no(plan));
            }
            Ok(Transformed::yes(Arc::new(Guard { input: plan, named_once }) as Arc<dyn ExecutionPlan>))
        })?;
        if !guarded.transformed {
            return self.rule.optimize(guarded.data, config);
        }
        let done = self.rule.optimize(guarded.data, config)?;
        let bare = done.transform_up(|plan| match plan.downcast_ref::<Guard>() {
            Some(guard) => Ok(Transformed::yes(Arc::clone(&guard.input))),
            None => Ok(Transformed::no(plan)),
        })?;
        Ok(bare.data)
    }

    fn name(&self) -> &str {
        self.rule.name()
    }

    fn schema_check(&self) -> bool {
        self.rule.schema_check()
    }
}

/// Returns the columns of a schema whose names no other column has.
fn named_once(schema: &Schema) -> HashSet<usize> {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for field in schema.fields() {
        *counts.entry(field.name()).or_default() += 1;
    }
    let is_once = |(_, field): &(usize, &FieldRef)| counts.get(field.name().as_str()) == Some(&1);
    schema.fields().iter().enumerate().filter(is_once).map(|(index, _)| index).collect()
}

/// Stands above a node while filters are pushed down, and is gone before the plan runs.
#[derive(Debug)]
struct Guard {
    input: Arc<dyn ExecutionPlan>,
    named_once: HashSet<usize>,
}

impl DisplayAs for Guard {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CayenneNamesApart")
    }
}

impl ExecutionPlan for Guard {
    fn name(&self) -> &'static str {
        "CayenneNamesApart"
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

    // Deprecated, and still a required method of the trait.
    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let input = children.into_iter().next().unwrap_or_else(|| Arc::clone(&self.input));
        Ok(Arc::new(Self { input, named_once: self.named_once.clone() }))
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
        let named_once = self.named_once.clone();
        let allowed =
            ChildFilterDescription::from_child_with_allowed_indices(&parent_filters, named_once, &self.input)?;
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
