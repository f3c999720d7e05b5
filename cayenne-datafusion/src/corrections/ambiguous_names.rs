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
use std::sync::Arc;

use arrow_schema::{FieldRef, Schema};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;

use super::guard::Guard;

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
            Ok(Transformed::yes(Guard::above(plan, named_once)))
        })?;
        if !guarded.transformed {
            return self.rule.optimize(guarded.data, config);
        }
        Guard::removed(self.rule.optimize(guarded.data, config)?)
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
