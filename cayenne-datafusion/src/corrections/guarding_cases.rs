//! `CASE` expressions that protect an expression from values for which it fails.
//!
//! DataFusion turns a `CASE` of conditions into AND and OR, and evaluates both sides for all rows: `CASE WHEN s ~
//! '^[0-9]+$' THEN CAST(s AS INT) > 0 ELSE false END` then fails for a text that is no number (apache/datafusion
//! 25136). It does so only for `CASE WHEN …`, so a `CASE` whose branches can fail is rewritten to `CASE true WHEN …`,
//! which means the same.

use arrow_schema::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result;
use datafusion::logical_expr::expr::Case;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, LogicalPlan, Operator, lit};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

use super::node::rewrite_parts;

/// Protects each `CASE` whose branches can fail from that rewrite.
#[derive(Debug)]
pub(super) struct GuardingCases;

impl OptimizerRule for GuardingCases {
    fn name(&self) -> &'static str {
        "cayenne_guarding_cases"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn supports_rewrite(&self) -> bool {
        true
    }

    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        rewrite_parts(plan, guards, |expr, schema| {
            let is_condition = guards(&expr) && expr.get_type(schema).is_ok_and(|found| found == DataType::Boolean);
            Ok(if is_condition { kept(expr) } else { Transformed::no(expr) })
        })
    }
}

fn kept(expr: Expr) -> Transformed<Expr> {
    match expr {
        Expr::Case(case) => Transformed::yes(Expr::Case(Case { expr: Some(Box::new(lit(true))), ..case })),
        expr => Transformed::no(expr),
    }
}

/// Says whether an expression is a `CASE WHEN …` with a branch that can fail.
fn guards(expr: &Expr) -> bool {
    let Expr::Case(Case { expr: None, when_then_expr, else_expr }) = expr else { return false };
    let thens = when_then_expr.iter().map(|(_, then)| then);
    // The first condition is evaluated for all rows anyway.
    let later = when_then_expr.iter().skip(1).map(|(when, _)| when);
    thens.chain(later).chain(else_expr).any(|branch| can_fail(branch))
}

fn can_fail(expr: &Expr) -> bool {
    let fails = |expr: &Expr| {
        matches!(
            expr,
            Expr::Cast(_)
                | Expr::ScalarFunction(_)
                | Expr::BinaryExpr(BinaryExpr { op: Operator::Divide | Operator::Modulo, .. })
        )
    };
    expr.exists(|expr| Ok(fails(expr))).unwrap_or(true)
}
