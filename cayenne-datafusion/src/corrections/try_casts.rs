//! `TRY_CAST` in comparisons.
//!
//! DataFusion takes a cast off a column by casting the constant it is compared with. It does so with `TRY_CAST` too, which is
//! NULL where the value does not fit: `TRY_CAST(v AS INT) > 1` then holds for a `v` that is no `INT`
//! (apache/datafusion 24702). Both the logical and the physical plan are simplified so, and neither does it to a function.

use std::sync::Arc;

use arrow_schema::{DataType, Field, FieldRef};
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::common::ScalarValue;
use datafusion::common::format::DEFAULT_CAST_OPTIONS;
use datafusion::common::tree_node::Transformed;
use datafusion::error::Result;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{
    ColumnarValue, Expr, LogicalPlan, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    TryCast, Volatility,
};
use datafusion::optimizer::optimizer::ApplyOrder;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

use super::node::rewrite_parts;

/// Replaces `TRY_CAST` by a function that does the same.
#[derive(Debug)]
pub(super) struct TryCasts;

impl OptimizerRule for TryCasts {
    fn name(&self) -> &'static str {
        "cayenne_try_casts"
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
            |expr| matches!(expr, Expr::TryCast(_)),
            |expr, _| match expr {
                Expr::TryCast(TryCast { expr, field }) => {
                    Ok(Transformed::yes(TryCastFunction::call(*expr, field.data_type().clone())))
                }
                expr => Ok(Transformed::no(expr)),
            },
        )
    }
}

/// `TRY_CAST` to one type, as a function of one argument.
#[derive(Debug, PartialEq, Eq, Hash)]
struct TryCastFunction {
    data_type: DataType,
    signature: Signature,
}

impl TryCastFunction {
    fn call(expr: Expr, data_type: DataType) -> Expr {
        let signature = Signature::any(1, Volatility::Immutable);
        let function = Arc::new(ScalarUDF::new_from_impl(Self { data_type, signature }));
        Expr::ScalarFunction(ScalarFunction { func: function, args: vec![expr] })
    }
}

impl ScalarUDFImpl for TryCastFunction {
    fn name(&self) -> &'static str {
        "cayenne_try_cast"
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
        let options = CastOptions { safe: true, ..DEFAULT_CAST_OPTIONS };
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
