//! The long run of random queries: the tests of `random_queries`, with more statements than CI has time for.

use clap::ValueEnum;

use crate::cargo::Cargo;
use crate::duckdb;
use crate::failure::{Failure, Result};

#[derive(clap::Args)]
pub(crate) struct QueriesArgs {
    /// How many statements are made
    #[arg(long, value_name = "N", default_value_t = 200_000)]
    count: u64,
    /// The number of the first; the same number makes the same statement
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// How many differences are told of before the run ends
    #[arg(long, value_name = "N", default_value_t = 5)]
    failures: u64,
    /// Whose answers are taken for the right ones
    #[arg(long, value_enum, default_value_t = Reference::Duckdb)]
    against: Reference,
    /// Build with full optimisation: worth it from 100,000 statements on
    #[arg(long)]
    release: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Reference {
    Duckdb,
    Sqlite,
}

impl Reference {
    fn test(self) -> &'static str {
        match self {
            Self::Duckdb => "random_queries::duckdb_answers_the_same",
            Self::Sqlite => "random_queries::sqlite_answers_the_same",
        }
    }
}

/// Runs the test of one reference with all processors.
pub(crate) fn run(cargo: &Cargo, args: &QueriesArgs) -> Result<()> {
    if matches!(args.against, Reference::Duckdb) {
        duckdb::install()?;
    }
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    let mut command = cargo.command();
    command.args(["test", "--workspace", "--test", "it"]).args(args.release.then_some("--release"));
    command.args(["--", "--nocapture", "--exact", args.against.test()]);
    command.env("CAYENNE_QUERIES", args.count.to_string());
    command.env("CAYENNE_SEED", args.seed.to_string());
    command.env("CAYENNE_FAILURES", args.failures.to_string());
    command.env("CAYENNE_WORKERS", workers.to_string());
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::new(format!("the queries ended with {status}"))),
        Err(error) => Err(Failure::new(format!("cargo could not be started: {error}"))),
    }
}
