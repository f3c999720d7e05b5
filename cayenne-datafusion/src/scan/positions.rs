//! Selects the expressions that Vortex may evaluate in a scan that returns the positions of rows.

use std::sync::Arc;

use arrow_schema::{DataType, Field, FieldRef, Schema};
use datafusion::error::Result;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_expr::utils::collect_columns;
use vortex::dtype::Nullability;
use vortex::expr::{Expression, get_item, lit, pack, root};
use vortex::layout::layouts::row_idx::row_idx;
use vortex_datafusion::convert::{ExpressionConverter, ProcessedProjection};

use crate::dynamic_filter::is_dynamic;
use crate::error::external;
use crate::scan::converter::SameAnswers;
use crate::scan::identity::RowPosition;

/// Converts filters like [`SameAnswers`], and makes the scan return plain columns and the position.
///
/// Only the scan knows the positions of rows: they are lost once a filter is applied outside it. So a filter is pushed
/// into the scan or stays in the plan above it, and is never applied in between.
pub(crate) struct WithPositions {
    inner: SameAnswers,
    position: String,
}

impl WithPositions {
    pub(crate) fn new(inner: SameAnswers, position: String) -> Self {
        Self { inner, position }
    }
}

impl ExpressionConverter for WithPositions {
    fn try_convert(&self, expr: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Result<Option<Expression>> {
        // During planning, the schema is that of the scan; when a file is opened, it is that of the file.
        let is_planned = schema.field_with_name(&self.position).is_ok();
        if is_planned {
            let asks_position = collect_columns(expr).iter().any(|column| column.name() == self.position);
            return if asks_position { Ok(None) } else { self.inner.try_convert(expr, schema) };
        }
        match self.inner.try_convert(expr, schema)? {
            Some(converted) => Ok(Some(converted)),
            // The operator that created the filter drops the rows itself.
            None if is_dynamic(expr) => Ok(Some(lit(true))),
            None => Err(external(
                cayenne_format::Error::internal("a filter cannot be applied where rows have positions")
                    .with("filter", expr),
            )),
        }
    }

    fn split_projection(
        &self,
        source_projection: ProjectionExprs,
        input_schema: &Schema,
        _: &Schema,
    ) -> Result<ProcessedProjection> {
        self.no_pushdown_projection(source_projection, input_schema)
    }

    fn no_pushdown_projection(
        &self,
        source_projection: ProjectionExprs,
        input_schema: &Schema,
    ) -> Result<ProcessedProjection> {
        let raw = input_schema.project(&source_projection.column_indices())?;
        let mut given: Vec<(String, Expression)> =
            raw.fields().iter().map(|field| (field.name().clone(), get_item(field.name().as_str(), root()))).collect();
        let mut fields: Vec<FieldRef> = raw.fields().iter().cloned().collect();
        let mut asks_position = false;
        for projected in source_projection.as_ref() {
            asks_position |= RowPosition::is_in(&projected.expr)?;
        }
        if asks_position {
            given.push((self.position.clone(), row_idx()));
            fields.push(Arc::new(Field::new(&self.position, DataType::UInt64, false)));
        }
        let index = raw.fields().len();
        let leftover_projection =
            source_projection.try_map_exprs(|expr| RowPosition::into_column(expr, &self.position, index))?;
        Ok(ProcessedProjection {
            scan_projection: pack(given, Nullability::NonNullable),
            scan_reference_schema: Schema::new_with_metadata(fields, raw.metadata().clone()),
            leftover_projection,
        })
    }
}
