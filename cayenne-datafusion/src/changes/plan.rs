//! The plan of `DELETE`, `UPDATE` and `MERGE`: an insert of the rows that the query finds into a target that changes
//! the table.

use crate::changes::change::Change;
use std::sync::Arc;

use arrow_schema::SchemaRef;
use async_trait::async_trait;
use cayenne_table::Table;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::TableReference;
use datafusion::datasource::provider_as_source;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::dml::InsertOp;
use datafusion::logical_expr::{DmlStatement, Expr, LogicalPlan, TableType, WriteOp};
use datafusion::physical_plan::ExecutionPlan;

use crate::changes::exec::ChangeExec;
use crate::pinned::StatementView;

/// A statement that changes one table. All its scans of the table read one view.
#[derive(Clone, Debug)]
pub(crate) struct Statement {
    pub(crate) table: Arc<Table>,
    pub(crate) view: Arc<StatementView>,
}

impl Statement {
    pub(crate) fn about(table: &Arc<Table>) -> Self {
        Self { table: Arc::clone(table), view: Arc::default() }
    }

    /// Returns the plan that applies `change` to the rows that `input` finds.
    ///
    /// DataFusion's planner passes the physical plan of `input` to the provider of the insert whatever its columns are,
    /// so this works with any query planner.
    pub(crate) fn plan(&self, name: TableReference, input: LogicalPlan, change: Change) -> LogicalPlan {
        let target = Changing { statement: self.clone(), change };
        let target = provider_as_source(Arc::new(target));
        LogicalPlan::Dml(DmlStatement::new(name, target, WriteOp::Insert(InsertOp::Append), Arc::new(input)))
    }
}

/// The target of the insert: it consumes the rows that a statement has found.
#[derive(Debug)]
struct Changing {
    statement: Statement,
    change: Change,
}

#[async_trait]
impl TableProvider for Changing {
    fn schema(&self) -> SchemaRef {
        Arc::clone(self.statement.table.schema())
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
        Err(DataFusionError::Internal("the target of a change is not read".to_owned()))
    }

    async fn insert_into(
        &self,
        _: &dyn Session,
        input: Arc<dyn ExecutionPlan>,
        _: InsertOp,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let Statement { table, view } = &self.statement;
        // The scans of the input are already planned and hold the view, unless no scan is left in the plan.
        let view = view.view(table).await?;
        Ok(Arc::new(ChangeExec::new(input, Arc::clone(table), view, self.change.clone())))
    }
}
