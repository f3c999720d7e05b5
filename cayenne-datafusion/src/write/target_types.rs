//! Casts of written values that DataFusion leaves out.
//!
//! DataFusion casts a value to the type of its column if the types differ when the statement is planned. The type of a
//! `CASE` may change later, when its branches get one type: `SET i = CASE WHEN … THEN i ELSE a_bigint END`. Here the
//! values are compared with the columns once more, after all types are known.

use std::sync::Arc;

use arrow_schema::DataType;
use datafusion::common::DFSchema;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result;
use datafusion::logical_expr::{DmlStatement, Expr, ExprSchemable as _, LogicalPlan, WriteOp};
use datafusion::optimizer::AnalyzerRule;

use crate::project::project;

/// Casts the values that a statement writes to the types of their columns. It runs after the coercion of types.
#[derive(Debug)]
pub(crate) struct TargetTypes;

impl AnalyzerRule for TargetTypes {
    fn name(&self) -> &'static str {
        "cayenne_target_types"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        let rewritten = plan.transform_down(|plan| match plan {
            LogicalPlan::Dml(statement) if matches!(statement.op, WriteOp::Insert(_)) => cast(statement),
            plan => Ok(Transformed::no(plan)),
        })?;
        Ok(rewritten.data)
    }
}

fn cast(statement: DmlStatement) -> Result<Transformed<LogicalPlan>> {
    let target = statement.target.schema();
    let input = Arc::clone(statement.input.schema());
    let mut is_changed = false;
    let mut columns = Vec::with_capacity(input.fields().len());
    for (place, (qualifier, field)) in input.iter().enumerate() {
        let column = Expr::Column((qualifier, field).into());
        // What a change needs besides the values has no place in the table, or another name there.
        let wanted = target.fields().get(place).filter(|wanted| wanted.name() == field.name());
        columns.push(match wanted {
            Some(wanted) if needs_cast(field.data_type(), wanted.data_type()) => {
                is_changed = true;
                column.cast_to(wanted.data_type(), &input)?.alias_qualified(qualifier.cloned(), field.name())
            }
            _ => column,
        });
    }
    if !is_changed {
        return Ok(Transformed::no(LogicalPlan::Dml(statement)));
    }
    let input = project(columns, Arc::unwrap_or_clone(statement.input))?;
    Ok(Transformed::yes(LogicalPlan::Dml(DmlStatement { input: Arc::new(input), ..statement })))
}

/// The write itself accepts the other Arrow types of text and of bytes.
fn needs_cast(found: &DataType, wanted: &DataType) -> bool {
    let is_one_sql_type = DFSchema::datatype_is_logically_equal(found, wanted) && !wanted.is_decimal();
    found != wanted && !is_one_sql_type
}
