//! One call that installs Cayenne in a DataFusion session.

use std::num::NonZeroUsize;
use std::sync::Arc;

use cayenne_table::Database;
use datafusion::catalog::{MemoryCatalogProviderList, TableFunction, TableFunctionImpl};
use datafusion::error::Result;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::planner::RelationPlanner;
use datafusion::optimizer::AnalyzerRule;
use datafusion::prelude::{SessionConfig, SessionContext};

use crate::catalog::provider::CayenneCatalog;
use crate::changes::dml::ChangesAsQueries;
use crate::corrections;
use crate::dynamic_filter::join_filters::JoinFilters;
use crate::files;
use crate::session::factory::CayenneTableFactory;
use crate::session::guard::VersionGuard;
use crate::session::maintenance::{Function, MaintenanceFunction};
use crate::session::settings::ShownSettings;
use crate::session::time_travel::CayenneAt;
use crate::text::nested_values::NestedValues;
use crate::values::stored_text::{self, StoredTexts};

use crate::catalog::names::{CATALOG, SCHEMA};

/// Larger than DataFusion's default of 8,192: fewer calls for each row, and still small beside the caches.
const BATCH_ROWS: usize = 32 * 1024;
/// Up to so many rows, divided by the partitions, one hash table is built for all partitions of a join.
const COLLECTED_ROWS: usize = 4 * 1024 * 1024;
/// DataFusion's default for the same, which is kept where there are many partitions.
const COLLECTED_ROWS_MIN: usize = 128 * 1024;
/// What a row of the small side of a join is taken to be wide.
const COLLECTED_ROW_BYTES: usize = 32;
/// Integer keys within so many of each other are looked up in an array of 4 bytes each, however few they are.
const KEY_SPAN: usize = 8 * 1024 * 1024;
/// Beyond that, an array is used if it has no more than twenty places for each key.
const KEY_DENSITY: f64 = 0.05;

/// Returns the settings that suit Cayenne tables, for `partitions` streams at once. A session works without them.
///
/// They differ from DataFusion's defaults in four things. Batches have 32,768 rows. A join collects its small side in
/// one hash table up to 4 Mi rows divided by `partitions`: a table for each partition has both sides sent through a
/// repartition, and keeps the filter that the join makes from being a simple one. And a join looks integer keys up in an
/// array rather than a hash table if that takes at most 32 MiB, or 80 bytes for each key.
///
/// A number with a point in a statement is a `DECIMAL`, as SQL defines it: `0.1` is a tenth, and `n = 99999999.99` finds
/// that value in a `DECIMAL` column. DataFusion's default reads the nearest 64-bit float.
///
/// What is not named here is DataFusion's default, and can be set afterwards like everything else.
#[must_use]
pub fn recommended_config(partitions: NonZeroUsize) -> SessionConfig {
    let mut config = SessionConfig::new().with_target_partitions(partitions.get()).with_batch_size(BATCH_ROWS);
    let options = config.options_mut();
    options.sql_parser.parse_float_as_decimal = true;
    let rows = (COLLECTED_ROWS / partitions).max(COLLECTED_ROWS_MIN);
    options.optimizer.hash_join_single_partition_threshold_rows = rows;
    options.optimizer.hash_join_single_partition_threshold = rows * COLLECTED_ROW_BYTES;
    options.execution.perfect_hash_join_small_build_threshold = KEY_SPAN;
    options.execution.perfect_hash_join_min_key_density = KEY_DENSITY;
    config
}

/// Installs Cayenne in a session that is being built.
pub trait SessionStateBuilderExt {
    /// Adds the catalog [`CATALOG`] with the tables of `database` and with names of local files as tables, `STORED AS
    /// CAYENNE`, the readers of the other `STORED AS` that look into text files first, the functions `cayenne_at`,
    /// `cayenne_flush`, `cayenne_expire` and `cayenne_collect`, the settings of the database for `SHOW cayenne.durability`
    /// and `SHOW cayenne.metastore`, the rule that carries out `DELETE`, `UPDATE` and `MERGE`, those that correct what
    /// DataFusion answers wrongly (subqueries and lists with nulls, `INTERSECT ALL`, `EXCEPT ALL`, joins on nested
    /// values), and the guard that refuses `FOR … AS OF`. Call it after `with_config` and `with_default_features`.
    ///
    /// It switches `optimizer.enable_aggregate_dynamic_filter_pushdown` off in the settings of the builder: with it,
    /// DataFusion 55 prunes files by the minimum or maximum found so far even where another column of the aggregation
    /// needs their rows. It switches `optimizer.enable_leaf_expression_pushdown` off too, which takes a computed column for
    /// the column of the same name below it; and it sets `execution.skip_physical_aggregate_schema_check`, since a `UNION`
    /// of a column that may be NULL with one that may not fails that check. Everything else of the builder stays as it is; the default catalog does too.
    #[must_use]
    fn with_cayenne(self, database: &Arc<Database>) -> Self;
}

impl SessionStateBuilderExt for SessionStateBuilder {
    fn with_cayenne(mut self, database: &Arc<Database>) -> Self {
        let config = self.config().get_or_insert_default();
        config.options_mut().optimizer.enable_aggregate_dynamic_filter_pushdown = false;
        config.options_mut().optimizer.enable_leaf_expression_pushdown = false;
        config.options_mut().execution.skip_physical_aggregate_schema_check = true;
        config.options_mut().extensions.insert(ShownSettings::of(database));
        self.catalog_list()
            .get_or_insert_with(|| Arc::new(MemoryCatalogProviderList::new()))
            .register_catalog(CATALOG.to_owned(), Arc::new(CayenneCatalog::new(Arc::clone(database))));
        let factories = self.table_factories().get_or_insert_default();
        factories.insert("CAYENNE".to_owned(), Arc::new(CayenneTableFactory::new(database)));
        files::install(factories);
        let mut functions: Vec<(&str, Arc<dyn TableFunctionImpl>)> =
            vec![("cayenne_at", Arc::new(CayenneAt::new(Arc::clone(database))))];
        for function in Function::ALL {
            functions.push((function.name(), Arc::new(MaintenanceFunction::new(database, function))));
        }
        for (name, function) in functions {
            let function = Arc::new(TableFunction::new(name.to_owned(), function));
            self.table_functions().get_or_insert_default().insert(name.to_owned(), function);
        }
        let planners: [Arc<dyn RelationPlanner>; 2] = [Arc::new(VersionGuard), Arc::new(NestedValues)];
        self.relation_planners().get_or_insert_default().splice(0..0, planners);
        self.scalar_functions().get_or_insert_default().push(Arc::new(stored_text::function()));
        corrections::install(&mut self);
        // First of all: what they make of a statement is corrected, and checked, like any query.
        let rules = &mut self.analyzer().get_or_insert_default().rules;
        rules.splice(0..0, [Arc::new(StoredTexts) as Arc<dyn AnalyzerRule + Send + Sync>, Arc::new(ChangesAsQueries)]);
        self.physical_optimizer_rules().get_or_insert_default().push(Arc::new(JoinFilters));
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
    let ctx = SessionContext::new_with_state(state);
    let catalog = ctx.catalog(CATALOG);
    if let Some(catalog) = catalog.as_ref().and_then(|catalog| catalog.downcast_ref::<CayenneCatalog>()) {
        catalog.tables().views.attach(ctx.state_weak_ref());
    }
    Ok(ctx)
}
