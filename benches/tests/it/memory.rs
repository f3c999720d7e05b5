//! TPC-H queries run with little memory: a smaller version of a measurement at scale factor 1 with 128 MiB.

use std::error::Error;
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use cayenne_datafusion::{NewColumns, WriteTarget, recommended_config, write_plan};
use cayenne_format::TableOptions;
use cayenne_table::Database;
use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::physical_plan::collect;
use datafusion::prelude::{ParquetReadOptions, SessionContext};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const SCALE_FACTOR: &str = "0.2";
/// About a third of 128 MiB for a fifth of the rows: splits do not shrink with the table.
const POOL_BYTES: usize = 40 * 1024 * 1024;
const THREADS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1);
const TABLES: [&str; 8] = ["lineitem", "orders", "partsupp", "part", "customer", "supplier", "nation", "region"];

fn generate(folder: &Path) -> Outcome<()> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cayenne-bench"));
    let output = command.args(["generate", "--sf", SCALE_FACTOR, "--out"]).arg(folder).output()?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

fn session(database: &Arc<Database>, pool: Option<usize>) -> Outcome<SessionContext> {
    let runtime = match pool {
        Some(bytes) => RuntimeEnvBuilder::new().with_memory_pool(Arc::new(FairSpillPool::new(bytes))).build_arc()?,
        None => Arc::default(),
    };
    Ok(cayenne_datafusion::session(recommended_config(THREADS), runtime, database)?)
}

async fn load(ctx: &SessionContext, database: &Arc<Database>, folder: &Path) -> Outcome<()> {
    for table in TABLES {
        let source = folder.join(format!("{table}.parquet"));
        let source = source.to_str().ok_or("a path that is not UTF-8")?;
        let rows = ctx.read_parquet(source, ParquetReadOptions::default()).await?;
        let target = WriteTarget::Create {
            database: Arc::clone(database),
            name: table.try_into()?,
            options: TableOptions::default(),
            columns: NewColumns::Nullable,
        };
        let plan = write_plan(rows, target).await?;
        collect(plan, ctx.task_ctx()).await?;
    }
    Ok(())
}

/// Returns the rows of a query in an order that does not depend on its execution.
async fn answer(ctx: &SessionContext, sql: &str) -> Outcome<Vec<String>> {
    let batches = cayenne_datafusion::sql(ctx, sql).await?.collect().await?;
    let mut rows: Vec<String> = pretty_format_batches(&batches)?.to_string().lines().map(str::to_owned).collect();
    rows.sort();
    Ok(rows)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_query_of_tpch_is_answered_in_a_small_pool() {
    answer_all().await.unwrap();
}

async fn answer_all() -> Outcome<()> {
    let folder = tempfile::tempdir()?;
    let source = folder.path().join("source");
    generate(&source)?;
    let database = Database::builder(folder.path().join("db")).open().await?;
    let (unlimited, limited) = (session(&database, None)?, session(&database, Some(POOL_BYTES))?);
    load(&unlimited, &database, &source).await?;
    let mut unanswered = Vec::new();
    for number in 1..=22 {
        let text = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("queries/tpch/q{number:02}.sql"));
        let text = std::fs::read_to_string(text)?;
        let expected = answer(&unlimited, &text).await?;
        match answer(&limited, &text).await {
            Ok(found) => assert_eq!(found, expected, "q{number}"),
            Err(error) => unanswered.push(format!("q{number}: {error}")),
        }
    }
    assert!(unanswered.is_empty(), "{}", unanswered.join("\n"));
    database.close().await?;
    Ok(())
}
