//! `array_has` of a list that is written as elements.
//!
//! DataFusion rewrites `array_has([a, b], x)` to `x IN (a, b)`. If an element is NULL and none is equal, one of them is
//! NULL where the other is false (apache/datafusion 24246). Here only lists without nulls are rewritten.

use std::sync::Arc;

use arrow_array::Array;
use arrow_schema::{DataType, FieldRef};
use datafusion::error::Result;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, Expr, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};
use datafusion::scalar::ScalarValue;

/// Replaces the session's `array_has` with this one.
pub(super) fn install(builder: &mut SessionStateBuilder) {
    let functions = builder.scalar_functions().get_or_insert_default();
    for function in functions.iter_mut().filter(|function| function.name() == "array_has") {
        *function = Arc::new(ScalarUDF::from(ListElements { function: Arc::clone(function) }));
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct ListElements {
    function: Arc<ScalarUDF>,
}

impl ScalarUDFImpl for ListElements {
    fn name(&self) -> &str {
        self.function.name()
    }

    fn aliases(&self) -> &[String] {
        self.function.aliases()
    }

    fn signature(&self) -> &Signature {
        self.function.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.function.return_type(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        self.function.return_field_from_args(args)
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        self.function.coerce_types(types)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        self.function.invoke_with_args(args)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.function.documentation()
    }

    fn simplify(&self, args: Vec<Expr>, info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        if args.first().is_some_and(has_no_nulls) {
            return self.function.simplify(args, info);
        }
        Ok(ExprSimplifyResult::Original(args))
    }
}

/// Says whether a list has no nulls, or is NULL as a whole.
fn has_no_nulls(list: &Expr) -> bool {
    match list {
        Expr::Literal(value, _) if value.is_null() => true,
        Expr::Literal(ScalarValue::List(list), _) => list.values().logical_null_count() == 0,
        Expr::Literal(ScalarValue::LargeList(list), _) => list.values().logical_null_count() == 0,
        Expr::ScalarFunction(ScalarFunction { args, .. }) => {
            args.iter().all(|element| matches!(element, Expr::Literal(value, _) if !value.is_null()))
        }
        _ => false,
    }
}
