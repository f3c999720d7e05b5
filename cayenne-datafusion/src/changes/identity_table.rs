//! The provider of a table with two more columns that identify each row, for a statement that changes rows.

use std::sync::Arc;

use arrow_schema::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{ScanArgs, ScanResult, Session, TableProvider};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;

use crate::changes::plan::Statement;
use crate::scan::identity::Identity;
use crate::scan::plan::Scan;

/// A table with its identity columns.
#[derive(Debug)]
pub(crate) struct IdentityTable {
    statement: Statement,
    identity: Identity,
}

impl IdentityTable {
    pub(crate) fn new(statement: Statement, identity: Identity) -> Self {
        Self { statement, identity }
    }
}

#[async_trait]
impl TableProvider for IdentityTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(self.identity.schema())
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let args = ScanArgs::default()
            .with_projection(projection.map(Vec::as_slice))
            .with_filters(Some(filters))
            .with_limit(limit);
        Ok(self.scan_with_args(state, args).await?.into_inner())
    }

    async fn scan_with_args<'a>(&self, state: &dyn Session, args: ScanArgs<'a>) -> Result<ScanResult> {
        let Statement { table, view } = &self.statement;
        let view = view.view(table).await?;
        let scan = Scan { table, view, identity: Some(&self.identity), state };
        Ok(ScanResult::new(scan.plan(&args).await?))
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }
}
