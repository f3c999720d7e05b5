//! The [`TableProvider`] of a Cayenne table.

use datafusion::datasource::DefaultTableSource;
use datafusion::logical_expr::TableSource;
use std::sync::Arc;

use arrow_schema::SchemaRef;
use async_trait::async_trait;
use cayenne_format::Error;
use cayenne_table::{PinnedView, Table};
use datafusion::catalog::{ScanArgs, ScanResult, Session, TableProvider};
use datafusion::common::{Constraints, DFSchemaRef};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::dml::{InsertOp, MergeIntoClause};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;

use crate::columns::defaults::{DefaultReader, Defaults};
use crate::error::external;
use crate::keys::declared::constraints_of;
use crate::pinned::{Reads, StatementView};
use crate::scan::plan::Scan;
use crate::write::exec::WriteExec;
use crate::write::target::WriteTarget;

/// A table, or one snapshot of it, in a DataFusion session.
#[derive(Debug)]
pub struct CayenneTable {
    table: Arc<Table>,
    reads: Reads,
    constraints: Option<Constraints>,
    defaults: Defaults,
}

impl CayenneTable {
    /// Returns a provider whose scans each read the latest view.
    #[must_use]
    pub fn new(table: Arc<Table>) -> Self {
        Self::with(table, Reads::Latest)
    }

    /// Returns a provider for one statement: all its scans read the same view.
    pub(crate) fn for_statement(table: Arc<Table>, view: Arc<StatementView>, defaults: &Arc<DefaultReader>) -> Self {
        Self { defaults: Defaults::read_by(defaults), ..Self::sharing(table, view) }
    }

    /// Returns a provider whose scans read the view that a statement shares.
    pub(crate) fn sharing(table: Arc<Table>, view: Arc<StatementView>) -> Self {
        Self::with(table, Reads::OnePerStatement(view))
    }

    /// Returns a provider that reads one snapshot and rejects writes.
    #[must_use]
    pub fn at(table: Arc<Table>, view: PinnedView) -> Self {
        Self::with(table, Reads::Fixed(Arc::new(view)))
    }

    fn with(table: Arc<Table>, reads: Reads) -> Self {
        let constraints = constraints_of(&table);
        Self { table, reads, constraints, defaults: Defaults::default() }
    }

    pub(crate) fn defaults(&self) -> &Defaults {
        &self.defaults
    }

    pub(crate) fn reads(&self) -> &Reads {
        &self.reads
    }

    /// Returns the table.
    #[must_use]
    pub fn table(&self) -> &Arc<Table> {
        &self.table
    }

    /// Says whether it always reads one snapshot.
    pub(crate) fn is_fixed(&self) -> bool {
        matches!(self.reads, Reads::Fixed(_))
    }

    /// Returns an error if the provider is fixed to one snapshot, which cannot be written.
    pub(crate) fn writable(&self) -> Result<()> {
        if !self.is_fixed() {
            return Ok(());
        }
        Err(external(
            Error::unsupported("an earlier snapshot of a table cannot be written").with("table", self.table.name()),
        ))
    }
}

#[async_trait]
impl TableProvider for CayenneTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(self.table.schema())
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn constraints(&self) -> Option<&Constraints> {
        self.constraints.as_ref()
    }

    fn get_column_default(&self, column: &str) -> Option<&Expr> {
        self.defaults.of(&self.table, column)
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
        let view = self.reads.view(&self.table).await?;
        let scan = Scan { table: &self.table, view, identity: None, state };
        Ok(ScanResult::new(scan.plan(&args).await?))
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        // All filters prune files here. The physical optimizer decides later which of them Vortex evaluates exactly.
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn insert_into(
        &self,
        _state: &dyn Session,
        input: Arc<dyn ExecutionPlan>,
        insert_op: InsertOp,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.writable()?;
        let target = match insert_op {
            InsertOp::Append => WriteTarget::Append(Arc::clone(&self.table)),
            InsertOp::Overwrite => WriteTarget::Overwrite(Arc::clone(&self.table)),
            InsertOp::Replace => WriteTarget::Upsert(Arc::clone(&self.table)),
        };
        target.check()?;
        Ok(Arc::new(WriteExec::new(input, target)))
    }

    async fn delete_from(&self, _: &dyn Session, _: Vec<Expr>) -> Result<Arc<dyn ExecutionPlan>> {
        Err(self.not_rewritten("DELETE"))
    }

    async fn update(&self, _: &dyn Session, _: Vec<(String, Expr)>, _: Vec<Expr>) -> Result<Arc<dyn ExecutionPlan>> {
        Err(self.not_rewritten("UPDATE"))
    }

    async fn merge_into(
        &self,
        _: &dyn Session,
        _: Arc<dyn ExecutionPlan>,
        _: DFSchemaRef,
        _: Expr,
        _: Vec<MergeIntoClause>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        Err(self.not_rewritten("MERGE"))
    }

    async fn truncate(&self, _: &dyn Session) -> Result<Arc<dyn ExecutionPlan>> {
        self.writable()?;
        Ok(Arc::new(WriteExec::truncate(Arc::clone(&self.table))))
    }
}

impl CayenneTable {
    /// Returns the error for a DML hook of DataFusion. The hooks do not receive the whole condition: subqueries, limits
    /// and conditions that are never true are missing, so running them would change too many rows.
    fn not_rewritten(&self, statement: &'static str) -> DataFusionError {
        external(
            Error::unsupported("the session cannot plan the whole condition of the statement; nothing was changed")
                .code("no-dml-rule")
                .with("statement", statement)
                .with("table", self.table.name())
                .help(
                    "build the session with cayenne_datafusion::SessionStateBuilderExt::with_cayenne; \
                     TRUNCATE TABLE removes all rows in any session",
                ),
        )
    }
}

/// Returns the Cayenne table behind a table of a plan, if it is one.
pub(crate) fn cayenne_table(source: &Arc<dyn TableSource>) -> Option<&CayenneTable> {
    source.downcast_ref::<DefaultTableSource>()?.table_provider.downcast_ref()
}
