//! Decimal literals in expressions with floats.
//!
//! With `datafusion.sql_parser.parse_float_as_decimal` a literal such as `0.1` is an exact `DECIMAL`. When it is
//! combined with a float, DataFusion casts the float to a `DECIMAL` of 15 digits after the point. Then `f =
//! 99999999.99` is false for the nearest float, large floats are errors, and no filter reaches the scan. Here such a
//! literal becomes the nearest float, as SQL's rule for exact and approximate numbers has it.

use arrow_schema::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::Result;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, LogicalPlan};
use datafusion::optimizer::AnalyzerRule;

use super::node::rewrite_parts;

/// Turns decimal literals into floats where they are combined with a float.
#[derive(Debug)]
pub(crate) struct DecimalLiterals;

impl AnalyzerRule for DecimalLiterals {
    fn name(&self) -> &'static str {
        "cayenne_decimal_literals"
    }

    fn analyze(&self, plan: LogicalPlan, options: &ConfigOptions) -> Result<LogicalPlan> {
        if !options.sql_parser.parse_float_as_decimal {
            return Ok(plan);
        }
        Ok(plan.transform_up_with_subqueries(|plan| rewrite_parts(plan, is_decimal, beside_floats))?.data)
    }
}

fn is_decimal(expr: &Expr) -> bool {
    match expr {
        Expr::Literal(value, _) => matches!(value, ScalarValue::Decimal128(..) | ScalarValue::Decimal256(..)),
        Expr::Negative(expr) => is_decimal(expr),
        _ => false,
    }
}

/// Rewrites decimal operands of an expression whose operands are coerced to one type.
fn beside_floats(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let meets = match &expr {
        Expr::BinaryExpr(BinaryExpr { op, .. }) => op.is_numerical_operators() || op.supports_propagation(),
        Expr::InList(_) | Expr::Between(_) | Expr::Case(_) | Expr::ScalarFunction(_) => true,
        _ => false,
    };
    if !meets {
        return Ok(Transformed::no(expr));
    }
    let (mut decimals, mut floats) = (false, false);
    expr.apply_children(|child| {
        decimals |= is_decimal(child);
        floats |= !is_decimal(child) && is_float(child, schema);
        Ok(TreeNodeRecursion::Continue)
    })?;
    if decimals && floats { expr.map_children(as_float) } else { Ok(Transformed::no(expr)) }
}

/// Says whether an expression is a float. If its type is not known yet, the answer is no.
fn is_float(expr: &Expr, schema: &DFSchema) -> bool {
    expr.get_type(schema).is_ok_and(|data_type| data_type.is_floating())
}

fn as_float(expr: Expr) -> Result<Transformed<Expr>> {
    if !is_decimal(&expr) {
        return Ok(Transformed::no(expr));
    }
    expr.transform_up(|expr| match expr {
        // A cast by way of the decimal's digits gives the nearest float.
        Expr::Literal(value, metadata) => {
            let digits = ScalarValue::Utf8(Some(value.to_string()));
            let digits = value.cast_to(&DataType::Utf8).unwrap_or(digits);
            Ok(Transformed::yes(Expr::Literal(digits.cast_to(&DataType::Float64)?, metadata)))
        }
        expr => Ok(Transformed::no(expr)),
    })
}
