//! Finds the Cayenne catalog that a name in a session refers to.

use std::sync::Arc;

use cayenne_table::Database;
use datafusion::common::TableReference;
use datafusion::prelude::SessionContext;

use crate::catalog::provider::{CayenneCatalog, Tables};

/// Returns the database whose catalog a name refers to.
pub(crate) fn database_of(ctx: &SessionContext, name: &TableReference) -> Option<Arc<Database>> {
    tables_of(ctx, name).map(|tables| Arc::clone(&tables.database))
}

/// Returns the schema of a Cayenne catalog that a name refers to.
pub(crate) fn tables_of(ctx: &SessionContext, name: &TableReference) -> Option<Arc<Tables>> {
    let state = ctx.state();
    let options = &state.config_options().catalog;
    let resolved = name.clone().resolve(&options.default_catalog, &options.default_schema);
    if resolved.schema.as_ref() != crate::catalog::names::SCHEMA {
        return None;
    }
    let catalog = ctx.catalog(&resolved.catalog)?;
    Some(Arc::clone(catalog.downcast_ref::<CayenneCatalog>()?.tables()))
}
