//! A default that can no longer be parsed. Only inserts that would use it fail.

use arrow_schema::DataType;
use cayenne_format::Error;
use cayenne_table::Table;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use crate::error::external;

/// Returns an expression that fails when it is evaluated.
pub(crate) fn unreadable(table: &Table, column: &str, text: &str, error: &DataFusionError) -> Expr {
    let function = UnreadableDefault {
        signature: Signature::nullary(Volatility::Volatile),
        table: table.name().to_string(),
        column: column.to_owned(),
        text: text.to_owned(),
        problem: error.strip_backtrace(),
    };
    ScalarUDF::new_from_impl(function).call(Vec::new())
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct UnreadableDefault {
    signature: Signature,
    table: String,
    column: String,
    text: String,
    problem: String,
}

impl ScalarUDFImpl for UnreadableDefault {
    fn name(&self) -> &'static str {
        "unreadable_default"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Null)
    }

    fn invoke_with_args(&self, _: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Err(external(
            Error::invalid("the default of a column cannot be read")
                .code("invalid-default")
                .with("table", &self.table)
                .with("column", &self.column)
                .with("default", &self.text)
                .with("problem", &self.problem)
                .help("give the column a value in the statement"),
        ))
    }
}
