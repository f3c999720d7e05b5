//! One call that installs Cayenne in a DataFusion session.

use std::sync::Arc;

use cayenne_table::Database;
use datafusion::catalog::{MemoryCatalogProviderList, TableFunction};
use datafusion::error::Result;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};

use crate::catalog::CayenneCatalog;
use crate::factory::CayenneTableFactory;
use crate::guard::VersionGuard;
use crate::time_travel::CayenneAt;

/// The name of the catalog of a database.
pub const CATALOG: &str = "cayenne";
/// The name of the schema of its tables.
pub const SCHEMA: &str = "public";

/// Installs Cayenne in a session that is being built.
pub trait SessionStateBuilderExt {
    /// Adds the catalog [`CATALOG`] with the tables of `database`, `STORED AS CAYENNE`, the function `cayenne_at`, and
    /// the guard that refuses `FOR … AS OF`. Call it after `with_default_features`.
    ///
    /// Everything else of the builder stays as it is; the default catalog does too.
    #[must_use]
    fn with_cayenne(self, database: &Arc<Database>) -> Self;
}

impl SessionStateBuilderExt for SessionStateBuilder {
    fn with_cayenne(mut self, database: &Arc<Database>) -> Self {
        self.catalog_list()
            .get_or_insert_with(|| Arc::new(MemoryCatalogProviderList::new()))
            .register_catalog(CATALOG.to_owned(), Arc::new(CayenneCatalog::new(Arc::clone(database))));
        self.table_factories()
            .get_or_insert_default()
            .insert("CAYENNE".to_owned(), Arc::new(CayenneTableFactory::new(database)));
        let at = TableFunction::new("cayenne_at".to_owned(), Arc::new(CayenneAt::new(Arc::clone(database))));
        self.table_functions().get_or_insert_default().insert("cayenne_at".to_owned(), Arc::new(at));
        self.relation_planners().get_or_insert_default().insert(0, Arc::new(VersionGuard));
        self
    }
}

/// Returns a session whose default catalog is the one of `database`.
///
/// # Errors
///
/// None today; reserved for settings that contradict each other.
pub fn session(config: SessionConfig, runtime: Arc<RuntimeEnv>, database: &Arc<Database>) -> Result<SessionContext> {
    let config = config
        .with_create_default_catalog_and_schema(false)
        .with_default_catalog_and_schema(CATALOG, SCHEMA)
        .with_information_schema(true);
    let state = SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(runtime)
        .with_default_features()
        .with_cayenne(database)
        .build();
    Ok(SessionContext::new_with_state(state))
}
