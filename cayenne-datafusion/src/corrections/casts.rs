//! Casts in comparisons that DataFusion simplifies wrongly.
//!
//! DataFusion removes a cast from a column by casting the constant that the column is compared with. It does so for
//! `TRY_CAST` too, which is NULL where the value does not fit: `TRY_CAST(v AS INT) > 1` is then true for a `v` that is
//! no `INT` (apache/datafusion 24702). Both the logical and the physical plan are simplified this way, but neither
//! simplification applies to a function.
//!
//! DataFusion also computes the range of `CAST(i AS VARCHAR)` by casting the ends of the range of `i`. Texts have
//! another order than numbers: the range of 2 to 1002 would begin after its end, and the query fails. It computes no
//! range for a function.

use std::sync::Arc;

use arrow_schema::{DataType, Field, FieldRef};
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::common::format::DEFAULT_CAST_OPTIONS;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::error::Result;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, ExprSchemable as _, LogicalPlan, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, TryCast, Volatility,
};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

use super::node::rewrite_parts;

/// Replaces such casts with an equivalent function.
#[derive(Debug)]
pub(super) struct Casts;

impl OptimizerRule for Casts {
    fn name(&self) -> &'static str {
        "cayenne_casts"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::TopDown)
    }

    fn supports_rewrite(&self) -> bool {
        true
    }

    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        rewrite_parts(
            plan,
            |expr| matches!(expr, Expr::TryCast(_)) || compares_casts(expr),
            |expr, schema| match expr {
                Expr::TryCast(TryCast { expr, field }) => {
                    Ok(Transformed::yes(CastFunction::call(*expr, field.data_type().clone(), true)))
                }
                Expr::BinaryExpr(BinaryExpr { left, op, right }) if op.supports_propagation() => {
                    let (left, right) = (as_function(*left, schema)?, as_function(*right, schema)?);
                    let is_changed = left.transformed || right.transformed;
                    let compared = BinaryExpr { left: Box::new(left.data), op, right: Box::new(right.data) };
                    Ok(Transformed::new_transformed(Expr::BinaryExpr(compared), is_changed))
                }
                expr => Ok(Transformed::no(expr)),
            },
        )
    }
}

/// Says whether both sides of a comparison are casts to a type that does not keep the order of numbers and times.
/// DataFusion computes no ranges for literals of such types.
fn compares_casts(expr: &Expr) -> bool {
    let is_such = |side: &Expr| matches!(side, Expr::Cast(cast) if !keeps_order(cast.field.data_type()));
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            op.supports_propagation() && is_such(left) && is_such(right)
        }
        _ => false,
    }
}

/// Says whether a cast of numbers or times to this type keeps their order. A time of day does not: it has lost the
/// date.
fn keeps_order(data_type: &DataType) -> bool {
    data_type.is_numeric()
        || matches!(data_type, DataType::Date32 | DataType::Date64 | DataType::Timestamp(..) | DataType::Duration(_))
}

fn as_function(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    match expr {
        Expr::Cast(cast) if !keeps_order(cast.field.data_type()) && keeps_order(&cast.expr.get_type(schema)?) => {
            Ok(Transformed::yes(CastFunction::call(*cast.expr, cast.field.data_type().clone(), false)))
        }
        expr => Ok(Transformed::no(expr)),
    }
}

/// A cast to one type, as a function of one argument.
#[derive(Debug, PartialEq, Eq, Hash)]
struct CastFunction {
    data_type: DataType,
    /// Whether a value that does not fit becomes NULL instead of an error.
    is_try: bool,
    signature: Signature,
}

impl CastFunction {
    fn call(expr: Expr, data_type: DataType, is_try: bool) -> Expr {
        let signature = Signature::any(1, Volatility::Immutable);
        let function = Arc::new(ScalarUDF::new_from_impl(Self { data_type, is_try, signature }));
        Expr::ScalarFunction(ScalarFunction { func: function, args: vec![expr] })
    }
}

impl ScalarUDFImpl for CastFunction {
    fn name(&self) -> &'static str {
        if self.is_try { "cayenne_try_cast" } else { "cayenne_cast" }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.data_type.clone())
    }

    fn return_field_from_args(&self, _: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        Ok(Arc::new(Field::new(self.name(), self.data_type.clone(), true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let options = CastOptions { safe: self.is_try, ..DEFAULT_CAST_OPTIONS };
        match args.args.into_iter().next() {
            Some(ColumnarValue::Array(array)) => {
                Ok(ColumnarValue::Array(cast_with_options(&array, &self.data_type, &options)?))
            }
            Some(ColumnarValue::Scalar(value)) => {
                Ok(ColumnarValue::Scalar(value.cast_to_with_options(&self.data_type, &options)?))
            }
            None => Ok(ColumnarValue::Scalar(ScalarValue::try_new_null(&self.data_type)?)),
        }
    }
}
