//! Filter pushdown past inputs that have two columns of the same name.
//!
//! When DataFusion pushes a filter down a physical plan, nodes look up the filter's columns in their input by name
//! (`FilterRemapper`). After a join of two tables that both have a column `a`, a filter on the second `a` becomes a
//! filter on the first, and rows are lost. The threshold of `ORDER BY … LIMIT` and the keys of a join are such filters
//! too (apache/datafusion 25296).
//!
//! While the rule runs, a guard node stands above each input with two columns of one name. It lets a filter pass only
//! if the names of the filter's columns are unique. Other filters stay where they are.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow_schema::{FieldRef, Schema};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;

use super::guard::Guard;

/// Wraps a rule that pushes filters down, and keeps it from confusing columns of the same name.
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

/// Returns the indices of the columns whose names are unique in a schema.
fn named_once(schema: &Schema) -> HashSet<usize> {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for field in schema.fields() {
        *counts.entry(field.name()).or_default() += 1;
    }
    let is_once = |(_, field): &(usize, &FieldRef)| counts.get(field.name().as_str()) == Some(&1);
    schema.fields().iter().enumerate().filter(is_once).map(|(index, _)| index).collect()
}
