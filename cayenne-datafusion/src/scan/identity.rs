//! Which row is which: two more columns that a statement reads to say which rows it takes away.
//!
//! The first is the position of a row in its data file, the second the place of that file in the view of the scan. Both
//! hold for that one view only, and no user sees them.

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

/// The columns of a scan that tells which row is which: those of the table, the position, the place of the file.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) position: String,
    pub(crate) file: String,
    schema: SchemaRef,
}

impl Identity {
    /// Returns the columns for a table, under names that no column of it has.
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

    /// Returns the columns as a file source knows them: the place of the file is the same for all rows of a file.
    pub(crate) fn table_schema(&self) -> TableSchema {
        let mut fields: Vec<FieldRef> = self.schema.fields().iter().cloned().collect();
        let file = fields.pop();
        let of_files = Arc::new(Schema::new_with_metadata(fields, self.schema.metadata().clone()));
        TableSchema::builder(of_files).with_table_partition_cols(file.into_iter().collect::<Vec<_>>()).build()
    }

    /// Returns some columns of the table, and these two.
    pub(crate) fn beside(&self, columns: &Schema) -> SchemaRef {
        let mut fields: Vec<FieldRef> = columns.fields().iter().cloned().collect();
        fields.push(Arc::new(Field::new(&self.position, DataType::UInt64, false)));
        fields.push(Arc::new(Field::new(&self.file, DataType::UInt32, false)));
        Arc::new(Schema::new_with_metadata(fields, columns.metadata().clone()))
    }

    /// Returns rows of one data file, which are at these positions, with both columns.
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

    /// Returns an expression with the column at `index` in place of the position.
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

/// Puts [`RowPosition`] in place of the column of positions, which no file has.
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
