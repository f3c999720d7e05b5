//! A plan node with one input, taken apart so that its expressions and its input can be replaced.

use std::sync::Arc;

use datafusion::common::DFSchemaRef;
use datafusion::common::tree_node::Transformed;
use datafusion::error::Result;
use datafusion::logical_expr::expr_rewriter::{NamePreserver, SavedName};
use datafusion::logical_expr::{Expr, LogicalPlan};

use crate::dml::project;

/// A node whose expressions are being rewritten. Its output keeps names and columns, whatever its input gains.
pub(super) struct Node {
    plan: LogicalPlan,
    exprs: Vec<Expr>,
    names: Vec<SavedName>,
    input: Arc<LogicalPlan>,
    is_changed: bool,
}

impl Node {
    /// Takes a node apart, if it has exactly one input.
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

    /// Says whether the node keeps the rows for which its one expression is true.
    pub(super) fn is_filter(&self) -> bool {
        matches!(self.plan, LogicalPlan::Filter(_))
    }

    pub(super) fn input(&self) -> &LogicalPlan {
        &self.input
    }

    pub(super) fn schema(&self) -> DFSchemaRef {
        Arc::clone(self.input.schema())
    }

    /// Replaces the input by one that has its columns and more.
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

    /// Rewrites each expression; what is given may change the input as well.
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

    /// Puts the node together again.
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
