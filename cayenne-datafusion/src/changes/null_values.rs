//! Makes the `VALUES` of a statement nullable, so that the write reports a null in a NOT NULL column with the column's
//! name.
//!
//! DataFusion plans the `VALUES` of an `INSERT` with the nullability of the table's columns. Its own error for a null
//! names `column2`. Here every column may be null, and the write checks the rows.

use std::sync::Arc;

use arrow_schema::{Field, Schema};
use datafusion::common::DFSchema;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result;
use datafusion::logical_expr::{DmlStatement, LogicalPlan, Values};

/// Makes every column of a statement's `VALUES` nullable.
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
