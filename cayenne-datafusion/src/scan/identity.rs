//! Identity columns: two more columns, which a statement reads to identify the rows that it hides.
//!
//! The first is the position of a row in its data file, the second the index of that file in the view of the scan. Both
//! are valid for that view only, and are not visible to users.

use std::fmt;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, UInt32Array, UInt64Array};
use arrow_schema::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::ColumnarValue;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr_adapter::{
    DefaultPhysicalExprAdapterFactory, PhysicalExprAdapter, PhysicalExprAdapterFactory,
};

/// The columns of a scan with identity columns: those of the table, the position, and the index of the file.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) position: String,
    pub(crate) file: String,
    schema: SchemaRef,
}

impl Identity {
    /// Returns the columns for a table. The identity columns have names that no column of the table has.
    pub(crate) fn of(table: &Schema) -> Self {
        let position = free_name(table, "__cayenne_position");
        let file = free_name(table, "__cayenne_file");
        let mut identity = Self { position, file, schema: Arc::new(Schema::empty()) };
        identity.schema = identity.beside(table);
        identity
    }

    /// Returns all columns.
    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Returns the columns as a file source declares them: the index of the file is a partition column, as it is the
    /// same for all rows of a file.
    pub(crate) fn table_schema(&self) -> TableSchema {
        let mut fields: Vec<FieldRef> = self.schema.fields().iter().cloned().collect();
        let file = fields.pop();
        let of_files = Arc::new(Schema::new_with_metadata(fields, self.schema.metadata().clone()));
        TableSchema::builder(of_files).with_table_partition_cols(file.into_iter().collect::<Vec<_>>()).build()
    }

    /// Returns a schema of some columns of the table, followed by the identity columns.
    pub(crate) fn beside(&self, columns: &Schema) -> SchemaRef {
        let mut fields: Vec<FieldRef> = columns.fields().iter().cloned().collect();
        fields.push(Arc::new(Field::new(&self.position, DataType::UInt64, false)));
        fields.push(Arc::new(Field::new(&self.file, DataType::UInt32, false)));
        Arc::new(Schema::new_with_metadata(fields, columns.metadata().clone()))
    }

    /// Adds the identity columns to rows of one data file. `positions` are the positions of the rows, `place` is the
    /// index of the file.
    pub(crate) fn extend(
        &self,
        rows: &RecordBatch,
        positions: impl Iterator<Item = u64>,
        place: u32,
    ) -> Result<RecordBatch> {
        let mut columns: Vec<ArrayRef> = rows.columns().to_vec();
        columns.push(Arc::new(UInt64Array::from_iter_values(positions)));
        columns.push(Arc::new(UInt32Array::from_value(place, rows.num_rows())));
        Ok(RecordBatch::try_new(self.beside(&rows.schema()), columns)?)
    }
}

fn free_name(table: &Schema, wanted: &str) -> String {
    let mut name = wanted.to_owned();
    while table.field_with_name(&name).is_ok() {
        name.push('_');
    }
    name
}

/// The position of a row in its data file, as an expression that only the scan of the file can evaluate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct RowPosition;

impl RowPosition {
    /// Says whether an expression is, or contains, the position.
    pub(crate) fn is_in(expr: &Arc<dyn PhysicalExpr>) -> Result<bool> {
        expr.exists(|expr| Ok(expr.downcast_ref::<Self>().is_some()))
    }

    /// Replaces the position in an expression with the column at `index`.
    pub(crate) fn into_column(expr: Arc<dyn PhysicalExpr>, name: &str, index: usize) -> Result<Arc<dyn PhysicalExpr>> {
        let replaced = expr.transform_down(|expr| {
            Ok(match expr.downcast_ref::<Self>() {
                Some(_) => Transformed::yes(Arc::new(Column::new(name, index)) as Arc<dyn PhysicalExpr>),
                None => Transformed::no(expr),
            })
        })?;
        Ok(replaced.data)
    }
}

impl fmt::Display for RowPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("row_position")
    }
}

impl PhysicalExpr for RowPosition {
    fn data_type(&self, _: &Schema) -> Result<DataType> {
        Ok(DataType::UInt64)
    }

    fn nullable(&self, _: &Schema) -> Result<bool> {
        Ok(false)
    }

    fn evaluate(&self, _: &RecordBatch) -> Result<ColumnarValue> {
        Err(DataFusionError::Internal("the position of a row is known to the scan of its file only".to_owned()))
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        Vec::new()
    }

    fn with_new_children(self: Arc<Self>, _: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        Ok(self)
    }

    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Replaces the position column, which no file has, with [`RowPosition`].
#[derive(Debug)]
pub(crate) struct PositionAdapters {
    pub(crate) position: String,
}

impl PhysicalExprAdapterFactory for PositionAdapters {
    fn create(&self, logical: SchemaRef, physical: SchemaRef) -> Result<Arc<dyn PhysicalExprAdapter>> {
        let inner = DefaultPhysicalExprAdapterFactory.create(logical, physical)?;
        Ok(Arc::new(PositionAdapter { position: self.position.clone(), inner }))
    }
}

#[derive(Debug)]
struct PositionAdapter {
    position: String,
    inner: Arc<dyn PhysicalExprAdapter>,
}

impl PhysicalExprAdapter for PositionAdapter {
    fn rewrite(&self, expr: Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>> {
        let replaced = expr.transform_down(|expr| {
            Ok(match expr.downcast_ref::<Column>() {
                Some(column) if column.name() == self.position => {
                    Transformed::yes(Arc::new(RowPosition) as Arc<dyn PhysicalExpr>)
                }
                _ => Transformed::no(expr),
            })
        })?;
        self.inner.rewrite(replaced.data)
    }
}
