//! `CREATE EXTERNAL TABLE` and `DROP TABLE` for tables of one DataFusion session, which are in no metastore.

use crate::catalog::session_tables::taken;
use std::sync::Arc;

use cayenne_format::TableName;
use datafusion::catalog::TableProvider;
use datafusion::common::TableReference;
use datafusion::datasource::listing::ListingTable;
use datafusion::error::Result;
use datafusion::logical_expr::{DdlStatement, LogicalPlan};
use datafusion::prelude::SessionContext;

use crate::catalog::provider::CayenneCatalog;
use crate::error::external;

/// Applies a definition to the tables of the session. Returns whether the definition is thereby done.
///
/// # Errors
///
/// Returns an error if a table of the database would get the name of a table of the session, or the other way round.
pub(crate) async fn define(ctx: &SessionContext, plan: &LogicalPlan) -> Result<bool> {
    let LogicalPlan::Ddl(definition) = plan else { return Ok(false) };
    match definition {
        DdlStatement::CreateMemoryTable(command) => {
            let tables = catalog_of(ctx, &command.name);
            tables.map_or(Ok(()), |tables| tables.session_tables().refuse(command.name.table()))?;
            Ok(false)
        }
        // DataFusion alone would drop the replaced table before it reads the files.
        DdlStatement::CreateExternalTable(command) if command.or_replace => {
            let Some(catalog) = catalog_of(ctx, &command.name) else { return Ok(false) };
            let name = TableName::try_from(command.name.table()).map_err(external)?;
            if catalog.database().table(&name).await.map_err(external)?.is_some() {
                return Err(external(taken(name.as_str())));
            }
            let Some(old) = catalog.session_tables().remove(name.as_str()) else { return Ok(false) };
            forget_listing(ctx, old.as_ref())?;
            let made = ctx.execute_logical_plan(plan.clone()).await;
            if made.is_err() {
                catalog.session_tables().add(&name, old);
            }
            made.map(|_| true)
        }
        DdlStatement::DropTable(command) => {
            let catalog = catalog_of(ctx, &command.name);
            match catalog.and_then(|catalog| catalog.session_tables().remove(command.name.table())) {
                Some(dropped) => forget_listing(ctx, dropped.as_ref()).map(|()| true),
                None => Ok(false),
            }
        }
        _ => Ok(false),
    }
}

/// Removes the file list of a table from DataFusion's cache, because the next table of its name may have other files.
fn forget_listing(ctx: &SessionContext, table: &dyn TableProvider) -> Result<()> {
    let runtime = ctx.runtime_env();
    let (Some(cache), Some(table)) =
        (runtime.cache_manager.get_list_files_cache(), table.downcast_ref::<ListingTable>())
    else {
        return Ok(());
    };
    let mut names = table.table_paths().iter().filter_map(|path| path.get_table_ref().as_ref());
    names.try_for_each(|name| cache.drop_table_entries(name))
}

/// Returns the Cayenne catalog of a name, if the name is in its schema of tables.
fn catalog_of(ctx: &SessionContext, name: &TableReference) -> Option<Arc<CayenneCatalog>> {
    let state = ctx.state();
    let options = &state.config_options().catalog;
    let resolved = name.clone().resolve(&options.default_catalog, &options.default_schema);
    let catalog =
        ctx.catalog(&resolved.catalog).filter(|_| resolved.schema.as_ref() == crate::catalog::names::SCHEMA)?;
    let catalog: Arc<dyn std::any::Any + Send + Sync> = catalog;
    catalog.downcast().ok()
}
