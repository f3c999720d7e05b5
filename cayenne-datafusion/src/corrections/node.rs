//! Rewrites the expressions of a plan node while the node's output keeps its names and columns.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, DFSchemaRef};
use datafusion::error::Result;
use datafusion::logical_expr::expr_rewriter::{NamePreserver, SavedName};
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr, LogicalPlan};

use crate::project::project;

/// A node whose expressions are being rewritten. Its output keeps its names and columns, even if its input gets more
/// columns.
pub(super) struct Node {
    plan: LogicalPlan,
    exprs: Vec<Expr>,
    names: Vec<SavedName>,
    input: Arc<LogicalPlan>,
    is_changed: bool,
}

impl Node {
    /// Splits a node into its parts; `None` unless it has exactly one input.
    pub(super) fn of(plan: &LogicalPlan) -> Option<Self> {
        let input = match plan.inputs().as_slice() {
            [input] => Arc::new((*input).clone()),
            _ => return None,
        };
        let exprs = plan.expressions();
        let preserver = NamePreserver::new(plan);
        let names = exprs.iter().map(|expr| preserver.save(expr)).collect();
        Some(Self { plan: plan.clone(), exprs, names, input, is_changed: false })
    }

    /// Says whether the node is a filter, which keeps the rows for which its one expression is true.
    pub(super) fn is_filter(&self) -> bool {
        matches!(self.plan, LogicalPlan::Filter(_))
    }

    pub(super) fn input(&self) -> &LogicalPlan {
        &self.input
    }

    pub(super) fn schema(&self) -> DFSchemaRef {
        Arc::clone(self.input.schema())
    }

    /// Replaces the input with one that has the same columns and possibly more.
    pub(super) fn set_input(&mut self, input: LogicalPlan) {
        self.input = Arc::new(input);
        self.is_changed = true;
    }

    /// Adds columns to the input.
    pub(super) fn add_columns(&mut self, columns: Vec<Expr>) -> Result<()> {
        let mut all: Vec<_> = self.input.schema().columns().into_iter().map(Expr::Column).collect();
        all.extend(columns);
        self.set_input(project(all, self.input.as_ref().clone())?);
        Ok(())
    }

    /// Rewrites each expression. `rewrite` may also change the node's input.
    pub(super) fn rewrite(
        &mut self,
        mut rewrite: impl FnMut(&mut Self, Expr) -> Result<Transformed<Expr>>,
    ) -> Result<()> {
        for expr in std::mem::take(&mut self.exprs) {
            let rewritten = rewrite(self, expr)?;
            self.is_changed |= rewritten.transformed;
            self.exprs.push(rewritten.data);
        }
        Ok(())
    }

    /// Builds the rewritten node.
    pub(super) fn finish(self) -> Result<Transformed<LogicalPlan>> {
        if !self.is_changed {
            return Ok(Transformed::no(self.plan));
        }
        let columns = self.plan.schema().columns();
        let exprs = self.names.into_iter().zip(self.exprs).map(|(name, expr)| name.restore(expr)).collect();
        let plan = self.plan.with_new_exprs(exprs, vec![Arc::unwrap_or_clone(self.input)])?;
        if plan.schema().fields().len() == columns.len() {
            return Ok(Transformed::yes(plan));
        }
        project(columns.into_iter().map(Expr::Column).collect(), plan).map(Transformed::yes)
    }
}

/// Rewrites the expressions of one node, with any number of inputs, if any part of them is `wanted`. Columns keep their
/// names.
///
/// `rewrite` is called for each part, inner parts first, with the schema of the inputs.
pub(super) fn rewrite_parts(
    plan: LogicalPlan,
    wanted: impl Fn(&Expr) -> bool,
    rewrite: impl Fn(Expr, &DFSchema) -> Result<Transformed<Expr>>,
) -> Result<Transformed<LogicalPlan>> {
    let mut found = false;
    plan.apply_expressions(|expr| {
        found |= expr.exists(|part| Ok(wanted(part)))?;
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    if !found {
        return Ok(Transformed::no(plan));
    }
    let schema = match &plan {
        // The filters of a scan may use columns that it does not return.
        LogicalPlan::TableScan(scan) => {
            DFSchema::try_from_qualified_schema(scan.table_name.clone(), &scan.source.schema())?
        }
        plan => merge_schema(&plan.inputs()),
    };
    let names = NamePreserver::new(&plan);
    plan.map_expressions(|expr| {
        let name = names.save(&expr);
        let rewritten = expr.transform_up(|part| rewrite(part, &schema))?;
        Ok(if rewritten.transformed { rewritten.update_data(|expr| name.restore(expr)) } else { rewritten })
    })
}
