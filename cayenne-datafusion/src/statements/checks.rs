//! Checks that several statements share, and the result of statements without rows.

use cayenne_format::{Error, TableName};
use datafusion::common::DFSchema;
use datafusion::dataframe::DataFrame;
use datafusion::error::Result;
use datafusion::logical_expr::LogicalPlanBuilder;
use datafusion::prelude::SessionContext;

use crate::catalog::provider::Tables;
use crate::error::external;

/// Returns an empty result, for a statement that returns no rows.
pub(crate) fn nothing(ctx: &SessionContext) -> Result<DataFrame> {
    Ok(DataFrame::new(ctx.state(), LogicalPlanBuilder::empty(false).build()?))
}

/// Returns an error if two columns have the same name.
pub(crate) fn unique_names(schema: &DFSchema) -> Result<()> {
    let mut seen = std::collections::HashSet::new();
    match schema.fields().iter().find(|field| !seen.insert(field.name())) {
        None => Ok(()),
        Some(field) => Err(external(
            Error::invalid("two columns have one name").with("column", field.name()).help("give one of them an alias"),
        )),
    }
}

/// Returns an error if a name is that of a view, for statements that create or drop a table.
///
/// # Errors
///
/// `Invalid` (code `not-a-table`) if a view has the name.
pub(crate) async fn refuse_view(tables: &Tables, name: &TableName, statement: &'static str) -> Result<()> {
    let is_view =
        tables.views.temporary(name).is_some() || tables.database.view(name).await.map_err(external)?.is_some();
    if !is_view {
        return Ok(());
    }
    Err(external(
        Error::invalid("it is a view, not a table")
            .code("not-a-table")
            .with("view", name)
            .with("statement", statement)
            .help("use DROP VIEW, or choose another name"),
    ))
}
