//! Installs Cayenne in a DataFusion session.

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
use crate::write::target_types::TargetTypes;

use crate::catalog::names::{CATALOG, SCHEMA};

/// Rows of a batch. Larger than DataFusion's default of 8,192: fewer calls per row, and still small compared to the
/// caches.
const BATCH_ROWS: usize = 32 * 1024;
/// Maximum number of rows, to be divided by the number of partitions, for which a join builds one hash table for all
/// partitions.
const COLLECTED_ROWS: usize = 4 * 1024 * 1024;
/// DataFusion's default for this limit, which is the minimum if there are many partitions.
const COLLECTED_ROWS_MIN: usize = 128 * 1024;
/// Assumed width of a row of the small side of a join, in bytes.
const COLLECTED_ROW_BYTES: usize = 32;
/// Maximum span of integer keys for which a join uses an array of 4 bytes per value, however few the keys are.
const KEY_SPAN: usize = 8 * 1024 * 1024;
/// Minimum number of keys per array slot for which a join uses an array beyond that span: one in twenty.
const KEY_DENSITY: f64 = 0.05;

/// Returns the settings that suit Cayenne tables, for `partitions` concurrent streams. A session works without them.
///
/// They differ from DataFusion's defaults in four ways:
///
/// - Batches have 32,768 rows.
/// - A join collects its small side in one hash table up to 4 Mi rows divided by `partitions`. One hash table per
///   partition would repartition both sides, and would make the join's dynamic filter more complex.
/// - A join looks up integer keys in an array instead of a hash table if the array takes at most 32 MiB, or 80 bytes
///   per key.
/// - A number with a decimal point in a statement is a `DECIMAL`, as SQL defines it: `0.1` is exactly a tenth, and `n =
///   99999999.99` finds that value in a `DECIMAL` column. DataFusion's default is the nearest 64-bit float.
///
/// All other settings are DataFusion's defaults. All of them can be changed afterwards.
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
    /// Adds to the session:
    ///
    /// - the catalog [`CATALOG`], with the tables of `database`, and with names of local files as tables,
    /// - `STORED AS CAYENNE`, and the other `STORED AS` with detection of the dialect of text files,
    /// - the functions `cayenne_at`, `cayenne_flush`, `cayenne_compact`, `cayenne_expire` and `cayenne_collect`,
    /// - the settings of the database, for `SHOW cayenne.durability` and `SHOW cayenne.metastore`,
    /// - the rule that executes `DELETE`, `UPDATE` and `MERGE`,
    /// - the rules that correct what DataFusion answers wrongly (subqueries and lists with nulls, `INTERSECT ALL`,
    ///   `EXCEPT ALL`, joins on nested values),
    /// - the guard that rejects `FOR … AS OF`.
    ///
    /// Call it after `with_config` and `with_default_features`.
    ///
    /// It changes three settings of the builder:
    ///
    /// - `optimizer.enable_aggregate_dynamic_filter_pushdown` is switched off: with it, DataFusion 55 prunes files by
    ///   the minimum or maximum found so far, even if another aggregate needs their rows.
    /// - `optimizer.enable_leaf_expression_pushdown` is switched off: it mistakes a computed column for the column of
    ///   the same name below it.
    /// - `execution.skip_physical_aggregate_schema_check` is switched on: a `UNION` of a nullable and a NOT NULL column
    ///   fails that check.
    ///
    /// Everything else in the builder, including the default catalog, stays as it is.
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
        // These two come first, so that the queries they produce are corrected and checked like any other query.
        let rules = &mut self.analyzer().get_or_insert_default().rules;
        rules.splice(0..0, [Arc::new(StoredTexts) as Arc<dyn AnalyzerRule + Send + Sync>, Arc::new(ChangesAsQueries)]);
        rules.push(Arc::new(TargetTypes));
        self.physical_optimizer_rules().get_or_insert_default().push(Arc::new(JoinFilters));
        self
    }
}

/// Returns a session whose default catalog is the catalog of `database`.
///
/// # Errors
///
/// None today; reserved for contradictory settings.
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
