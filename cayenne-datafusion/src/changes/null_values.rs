//! Nulls in the rows of a statement, which the table refuses by the name of the column.
//!
//! DataFusion plans `VALUES` of an `INSERT` with the columns of the table, those that may not be null included, and then
//! finds that `column2` has a null. The rows may be anything here; the write looks at them.

use std::sync::Arc;

use arrow_schema::{Field, Schema};
use datafusion::common::DFSchema;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result;
use datafusion::logical_expr::{DmlStatement, LogicalPlan, Values};

/// Lets the rows of a statement have nulls in every column.
pub(crate) fn with_any_nulls(statement: DmlStatement) -> Result<DmlStatement> {
    if !statement.input.exists(|plan| Ok(refuses_nulls(plan)))? {
        return Ok(statement);
    }
    let input = Arc::unwrap_or_clone(statement.input).transform_up(|plan| match plan {
        LogicalPlan::Values(values) => Ok(Transformed::yes(LogicalPlan::Values(nullable(values)?))),
        plan => Ok(Transformed::yes(plan.recompute_schema()?)),
    })?;
    Ok(DmlStatement { input: Arc::new(input.data), ..statement })
}

fn refuses_nulls(plan: &LogicalPlan) -> bool {
    matches!(plan, LogicalPlan::Values(values) if values.schema.fields().iter().any(|field| !field.is_nullable()))
}

fn nullable(values: Values) -> Result<Values> {
    let fields = values.schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
    let schema = Schema::new_with_metadata(fields.collect::<Vec<Field>>(), values.schema.metadata().clone());
    Ok(Values { schema: Arc::new(DFSchema::try_from(schema)?), ..values })
}
