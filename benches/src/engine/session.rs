//! The session settings that both Rust engines share, and the source tables they load from.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use datafusion::catalog::{CatalogProvider, MemoryCatalogProvider, MemorySchemaProvider, SchemaProvider};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};

use crate::Result;

/// The catalog of the Parquet files to load from, separate from the engine's own catalog.
const SOURCE_CATALOG: &str = "source";
const SOURCE_SCHEMA: &str = "public";

/// Returns the session settings of both engines: those that Cayenne recommends, which are faster for both.
pub(super) fn config(threads: usize) -> SessionConfig {
    cayenne_datafusion::recommended_config(NonZeroUsize::new(threads).unwrap_or(NonZeroUsize::MIN))
}

/// Returns the runtime of both engines: DataFusion's default, without a memory limit.
pub(super) fn runtime() -> Result<Arc<RuntimeEnv>> {
    Ok(RuntimeEnvBuilder::new().build_arc()?)
}

/// Registers a Parquet file as a table, and returns its full name.
///
/// It has a catalog of its own, so that its name cannot clash with the table that is loaded from it.
pub(super) async fn add_source(ctx: &SessionContext, table: &str, source: &Path) -> Result<String> {
    let path = source.to_str().ok_or("a path of a source table is not UTF-8")?;
    let rows = ctx.read_parquet(path, ParquetReadOptions::default()).await?;
    let schema = Arc::new(MemorySchemaProvider::new());
    schema.register_table(table.to_owned(), rows.into_view())?;
    let catalog = Arc::new(MemoryCatalogProvider::new());
    catalog.register_schema(SOURCE_SCHEMA, schema)?;
    ctx.register_catalog(SOURCE_CATALOG, catalog);
    Ok(format!("{SOURCE_CATALOG}.{SOURCE_SCHEMA}.{table}"))
}
