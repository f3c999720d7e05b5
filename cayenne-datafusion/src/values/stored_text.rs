//! Values that a table stores as text because their type cannot be stored. They become the same text in every
//! statement.
//!
//! The planner casts the values of a statement to the types of the table. Its cast produces other text than a load,
//! which passes values to the storage unchanged, and some types have no cast. Here the function of the storage replaces
//! the cast.

use std::sync::Arc;

use arrow_schema::DataType;
use cayenne_format::{TypeRule, UnsupportedTypeAction, type_rule};
use cayenne_storage::to_text;
use cayenne_table::Table;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::utils::take_function_args;
use datafusion::common::{DFSchema, ExprSchema, ScalarValue};
use datafusion::error::Result;
use datafusion::logical_expr::{
    Cast, ColumnarValue, DmlStatement, Expr, ExprSchemable, LogicalPlan, Projection, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Values, Volatility, WriteOp,
};
use datafusion::optimizer::AnalyzerRule;

use crate::error::external;
use crate::project::project;
use crate::provider::cayenne_table;

/// The name of the function.
pub(crate) const NAME: &str = "cayenne_text";

/// Replaces the casts in statements that write a Cayenne table. It runs before the rule that rewrites these into
/// queries.
#[derive(Debug)]
pub(crate) struct StoredTexts;

impl AnalyzerRule for StoredTexts {
    fn name(&self) -> &'static str {
        "cayenne_stored_texts"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_down(|plan| match plan {
            LogicalPlan::Dml(statement) if brings_texts(&statement) => corrected(statement).map(Transformed::yes),
            plan => Ok(Transformed::no(plan)),
        })
        .data()
    }
}

/// Says whether a table stores values of unsupported types as text.
pub(crate) fn keeps_texts(table: &Table) -> bool {
    table.options().unsupported_type_action == UnsupportedTypeAction::String
}

fn brings_texts(statement: &DmlStatement) -> bool {
    matches!(statement.op, WriteOp::Insert(_) | WriteOp::Update)
        && cayenne_table(&statement.target).is_some_and(|table| keeps_texts(table.table()))
}

fn corrected(statement: DmlStatement) -> Result<LogicalPlan> {
    let DmlStatement { table_name, target, op, input, .. } = statement;
    let input = Arc::new(with_texts(Arc::unwrap_or_clone(input))?);
    Ok(LogicalPlan::Dml(DmlStatement::new(table_name, target, op, input)))
}

/// Replaces the casts in rows that are to be written to a table.
pub(crate) fn of_rows(table: &Table, rows: LogicalPlan) -> Result<LogicalPlan> {
    if keeps_texts(table) { with_texts(rows) } else { Ok(rows) }
}

/// Replaces the casts that the planner has put into the columns of a statement, or into its list of values.
fn with_texts(rows: LogicalPlan) -> Result<LogicalPlan> {
    match rows {
        LogicalPlan::Projection(Projection { expr, input, .. }) => {
            let schema = Arc::clone(input.schema());
            let columns = expr.into_iter().map(|column| with_text(column, &schema)).collect();
            project(columns, with_texts_in_values(Arc::unwrap_or_clone(input)))
        }
        rows => Ok(with_texts_in_values(rows)),
    }
}

fn with_texts_in_values(rows: LogicalPlan) -> LogicalPlan {
    let LogicalPlan::Values(Values { schema, mut values }) = rows else { return rows };
    let nothing = DFSchema::empty();
    for value in values.iter_mut().flatten() {
        *value = with_text(std::mem::take(value), &nothing);
    }
    LogicalPlan::Values(Values { schema, values })
}

fn with_text(value: Expr, schema: &DFSchema) -> Expr {
    match value {
        Expr::Alias(mut alias) => {
            *alias.expr = with_text(*alias.expr, schema);
            Expr::Alias(alias)
        }
        Expr::Cast(Cast { expr, field }) if is_text_of(&expr, field.data_type(), schema) => text_of(*expr),
        value => value,
    }
}

/// Casts a value to the type of a column of a table.
pub(crate) fn cast(table: &Table, value: Expr, data_type: &DataType, schema: &DFSchema) -> Result<Expr> {
    if keeps_texts(table) && is_text_of(&value, data_type, schema) {
        return Ok(text_of(value));
    }
    value.cast_to(data_type, schema)
}

/// Says whether a column of type `to` stores the value as text because its type is unsupported.
fn is_text_of(value: &Expr, to: &DataType, schema: &dyn ExprSchema) -> bool {
    let is_unsupported = |data_type: DataType| type_rule(&data_type) == TypeRule::Unsupported;
    *to == DataType::Utf8 && value.get_type(schema).is_ok_and(is_unsupported)
}

fn text_of(value: Expr) -> Expr {
    function().call(vec![value])
}

/// Returns the function that converts a value to the text that a table stores. Values of supported types are cast.
pub(crate) fn function() -> ScalarUDF {
    ScalarUDF::from(StoredText { signature: Signature::any(1, Volatility::Immutable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct StoredText {
    signature: Signature,
}

impl ScalarUDFImpl for StoredText {
    fn name(&self) -> &'static str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [value] = take_function_args(self.name(), args.args)?;
        match value {
            value if type_rule(&value.data_type()) != TypeRule::Unsupported => value.cast_to(&DataType::Utf8, None),
            ColumnarValue::Array(values) => Ok(ColumnarValue::Array(to_text(&values).map_err(external)?)),
            ColumnarValue::Scalar(value) => {
                let text = to_text(&value.to_array()?).map_err(external)?;
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&text, 0)?))
            }
        }
    }
}
