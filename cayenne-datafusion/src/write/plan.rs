//! The plan of a write.

use crate::write::target::WriteTarget;
use std::sync::Arc;

use arrow_schema::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::TableReference;
use datafusion::datasource::provider_as_source;
use datafusion::error::Result;
use datafusion::logical_expr::dml::InsertOp;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::DataFrame;

use crate::write::exec::WriteExec;

/// Returns the logical plan that writes the rows of `input` to `target`.
pub(crate) fn logical_write(input: LogicalPlan, target: WriteTarget) -> Result<LogicalPlan> {
    let schema = Arc::clone(input.schema().inner());
    let provider = provider_as_source(Arc::new(Writing { schema, target }));
    LogicalPlanBuilder::insert_into(input, TableReference::bare("cayenne_write"), provider, InsertOp::Append)?.build()
}

/// Returns the plan that writes `rows` to `target` when it is executed.
///
/// Partition 0 yields one batch with the number of rows as `count`. While it runs, its metrics `rows_read` and
/// `bytes_read` (bytes of Arrow memory) grow.
///
/// # Errors
///
/// Any planning error.
pub async fn write_plan(rows: DataFrame, target: WriteTarget) -> Result<Arc<dyn ExecutionPlan>> {
    let (state, plan) = rows.into_parts();
    state.create_physical_plan(&logical_write(plan, target)?).await
}

/// The target of the insert. It passes the rows to any kind of write.
#[derive(Debug)]
struct Writing {
    schema: SchemaRef,
    target: WriteTarget,
}

#[async_trait]
impl TableProvider for Writing {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _: &dyn Session,
        _: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Err(datafusion::error::DataFusionError::Internal("the target of a write is not read".to_owned()))
    }

    async fn insert_into(
        &self,
        _: &dyn Session,
        input: Arc<dyn ExecutionPlan>,
        _: InsertOp,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(WriteExec::new(input, self.target.clone())))
    }
}
