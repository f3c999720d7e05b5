//! The [`TableProvider`] of a view of SQL. Its query is inlined into the plan of the statement that reads it.

use std::borrow::Cow;
use std::sync::Arc;

use arrow_schema::SchemaRef;
use async_trait::async_trait;
use cayenne_format::Error;
use cayenne_table::SqlView;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::datasource::{DefaultTableSource, ViewTable};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan, TableProviderFilterPushDown, TableType};
use datafusion::optimizer::AnalyzerRule;
use datafusion::optimizer::analyzer::type_coercion::TypeCoercion;
use datafusion::physical_plan::ExecutionPlan;

use crate::error::{error_of, external};

/// A view of SQL. A view whose query can no longer be planned keeps the columns that it was created with, so lists of
/// tables and columns still show it; reading it returns the error.
#[derive(Debug)]
pub(crate) struct CayenneView {
    name: String,
    definition: String,
    schema: SchemaRef,
    query: Result<ViewTable, Error>,
}

impl CayenneView {
    /// Returns a view whose query is `planned`.
    pub(crate) fn new(view: &SqlView, planned: Result<LogicalPlan>) -> Self {
        let definition = view_statement(view);
        let query = planned.map(|plan| ViewTable::new(plan, Some(definition.clone()))).map_err(error_of);
        let schema = query.as_ref().map_or_else(|_| Arc::clone(&view.columns), columns_of);
        Self { name: view.name.to_string(), definition, schema, query }
    }
}

impl CayenneView {
    /// Returns a provider for a view that has been dropped; reading it returns an error.
    pub(crate) fn dropped(view: &SqlView) -> Self {
        let gone = Error::not_found("the view was dropped").code("no-view").with("view", &view.name);
        Self::new(view, Err(external(gone)))
    }
}

/// Returns the columns of a query. The columns of a UNION are known only after type coercion.
fn columns_of(query: &ViewTable) -> SchemaRef {
    let plan = query.logical_plan();
    let has_union = plan.exists(|node| Ok(matches!(node, LogicalPlan::Union(_)))).unwrap_or_default();
    let coerced =
        if has_union { TypeCoercion::new().analyze(plan.clone(), &ConfigOptions::default()).ok() } else { None };
    coerced.map_or_else(|| query.schema(), |plan| Arc::clone(plan.schema().inner()))
}

#[async_trait]
impl TableProvider for CayenneView {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    fn get_table_definition(&self) -> Option<&str> {
        Some(&self.definition)
    }

    fn get_logical_plan(&self) -> Option<Cow<'_, LogicalPlan>> {
        self.query.as_ref().ok()?.get_logical_plan()
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Exact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match &self.query {
            Ok(query) => query.scan(state, projection, filters, limit).await,
            Err(error) => Err(external(error.clone())),
        }
    }
}

/// Returns the error for a view whose query cannot be planned.
pub(crate) fn broken(view: &SqlView, error: DataFusionError) -> Error {
    let cause = error_of(error);
    let code = cause.stable_code();
    let told = if code == "sql-plan" { root_of(&cause) } else { cause.message().to_owned() };
    Error::invalid("the view cannot be read: its query can no longer be planned")
        .code("view-broken")
        .with("view", &view.name)
        .with("found", told)
        .help("restore what its query reads, or replace the view; SHOW CREATE TABLE shows the query")
        .because(cause)
}

/// Returns the message of the root cause, which is what DataFusion reported.
fn root_of(error: &Error) -> String {
    let mut at: &dyn std::error::Error = error;
    while let Some(source) = at.source() {
        at = source;
    }
    at.to_string()
}

fn view_of(plan: &LogicalPlan) -> Option<&CayenneView> {
    match plan {
        LogicalPlan::TableScan(scan) => scan.source.downcast_ref::<DefaultTableSource>()?.table_provider.downcast_ref(),
        LogicalPlan::Dml(change) => change.target.downcast_ref::<DefaultTableSource>()?.table_provider.downcast_ref(),
        _ => None,
    }
}

/// Returns an error if a plan changes the rows of a view.
pub(crate) fn refuse_change(plan: &LogicalPlan) -> Result<()> {
    let change = match plan {
        LogicalPlan::Explain(explain) => explain.plan.as_ref(),
        LogicalPlan::Analyze(analyze) => analyze.input.as_ref(),
        plan => plan,
    };
    let (LogicalPlan::Dml(statement), Some(view)) = (change, view_of(change)) else { return Ok(()) };
    Err(external(
        Error::invalid("the rows of a view cannot be changed")
            .code("not-a-table")
            .with("view", &view.name)
            .with("statement", statement.op.name())
            .help("change the table that it reads"),
    ))
}

/// Returns the columns of the query of a view, after checking the views that it reads and that it has no parameters.
///
/// # Errors
///
/// `Invalid` if a view that it reads is broken, or if the query has a parameter; any error of the session's analyzer.
pub(crate) fn checked_columns(state: &SessionState, plan: LogicalPlan) -> Result<SchemaRef> {
    plan.apply_with_subqueries(|node| match view_of(node).map(|view| &view.query) {
        Some(Err(error)) => Err(external(error.clone())),
        _ => Ok(TreeNodeRecursion::Continue),
    })?;
    if let Some((parameter, _)) = plan.get_parameter_types()?.into_iter().next() {
        return Err(external(
            Error::invalid("a view has no parameters")
                .code("sql-plan")
                .with("parameter", parameter)
                .help("write the value into the query"),
        ));
    }
    let analyzed = state.analyzer().execute_and_check(plan, state.config_options(), |_, _| {})?;
    Ok(Arc::clone(analyzed.schema().inner()))
}

/// Returns the statement that creates a view, as `SHOW CREATE TABLE` shows it.
#[must_use]
pub fn view_statement(view: &SqlView) -> String {
    let name = view.name.as_str();
    let is_plain = name.starts_with(|first: char| first.is_ascii_lowercase() || first == '_')
        && name.chars().all(|char| char.is_ascii_lowercase() || char.is_ascii_digit() || char == '_');
    let name = if is_plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) };
    format!("CREATE VIEW {name} {}", view.definition)
}
