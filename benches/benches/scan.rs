//! How fast does SQL scan a table?
//!
//! Queries on TPC-H `lineitem` through `cayenne-datafusion`, with warm caches: one decodes a column, one filters, and
//! one is answered from statistics. Target for the filter, which is TPC-H query 6: 90 million rows per second on two
//! threads, which stock DataFusion over Vortex files reaches.

#![expect(clippy::expect_used, reason = "a benchmark that fails has nothing to measure")]

use std::hint::black_box;
use std::sync::Arc;

use arrow_array::{RecordBatch, RecordBatchReader as _};
use cayenne_table::Database;
use criterion::{Criterion, Throughput};
use datafusion::datasource::MemTable;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::prelude::{SessionConfig, SessionContext};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tpchgen::generators::LineItemGenerator;
use tpchgen_arrow::LineItemArrow;

/// About 600,000 rows: a scan takes milliseconds, so that planning time does not hide it.
const SCALE_FACTOR: f64 = 0.1;

/// The name and the query of each scan.
const SCANS: [(&str, &str); 3] = [
    ("decode one column", "SELECT sum(l_extendedprice) FROM lineitem"),
    ("filter", include_str!("../queries/tpch/q06.sql")),
    ("count from statistics", "SELECT count(*) FROM lineitem"),
];

fn main() {
    let mut criterion = Criterion::default().sample_size(20).configure_from_args();
    let runtime = Runtime::new().expect("a runtime starts");
    let loaded = runtime.block_on(Loaded::new());
    scan(&mut criterion, &runtime, &loaded);
    runtime.block_on(loaded.database.close()).expect("the database closes");
    criterion.final_summary();
}

fn scan(criterion: &mut Criterion, runtime: &Runtime, loaded: &Loaded) {
    let mut group = criterion.benchmark_group("scan");
    group.throughput(Throughput::Elements(loaded.rows));
    for (name, sql) in SCANS {
        group.bench_function(name, |bencher| {
            bencher.to_async(runtime).iter(|| async { black_box(loaded.query(sql).await) });
        });
    }
    group.finish();
}

/// A database that holds `lineitem`.
struct Loaded {
    database: Arc<Database>,
    ctx: SessionContext,
    rows: u64,
    _folder: TempDir,
}

impl Loaded {
    async fn new() -> Self {
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder for the database");
        let database = Database::builder(folder.path()).open().await.expect("the database opens");
        let config = SessionConfig::new().with_batch_size(32_768);
        let ctx = cayenne_datafusion::session(config, Arc::new(RuntimeEnv::default()), &database).expect("a session");
        let rows = load(&ctx).await;
        Self { database, ctx, rows, _folder: folder }
    }

    async fn query(&self, sql: &str) -> Vec<RecordBatch> {
        let plan = cayenne_datafusion::sql(&self.ctx, sql).await.expect("the query is planned");
        plan.collect().await.expect("the query runs")
    }
}

async fn load(ctx: &SessionContext) -> u64 {
    let reader = LineItemArrow::new(LineItemGenerator::new(SCALE_FACTOR, 1, 1)).with_batch_size(8_192);
    let schema = reader.schema();
    let batches: Vec<_> = reader.map(|batch| batch.expect("rows are generated")).collect();
    let rows = batches.iter().map(|batch| batch.num_rows() as u64).sum();
    let source = MemTable::try_new(schema, vec![batches]).expect("rows of one schema");
    let rows_to_load = ctx.read_table(Arc::new(source)).expect("the rows are a table");
    add_source(ctx, &rows_to_load);
    let create = "CREATE TABLE lineitem AS SELECT * FROM source.public.lineitem";
    let created = cayenne_datafusion::sql(ctx, create).await.expect("the load is planned");
    created.collect().await.expect("the rows are loaded");
    rows
}

/// Adds the source table in a catalog of its own, where its name cannot clash with a table of the database.
fn add_source(ctx: &SessionContext, rows: &datafusion::dataframe::DataFrame) {
    use datafusion::catalog::{CatalogProvider as _, MemoryCatalogProvider, MemorySchemaProvider, SchemaProvider as _};

    let schema = Arc::new(MemorySchemaProvider::new());
    schema.register_table("lineitem".to_owned(), rows.clone().into_view()).expect("the name is free");
    let catalog = Arc::new(MemoryCatalogProvider::new());
    catalog.register_schema("public", schema).expect("the name is free");
    ctx.register_catalog("source", catalog);
}
