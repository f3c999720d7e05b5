//! The command line, parsed once into plain values.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

/// Measures Cayenne beside other engines.
#[derive(Debug, Parser)]
#[command(name = "cayenne-bench", version, args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    #[command(flatten)]
    pub(crate) run: RunArgs,
}

/// What the binary does besides measuring.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Write the TPC-H tables as Parquet files.
    Generate(GenerateArgs),
    /// Serve one engine over stdin and stdout; started by the benchmark itself.
    #[command(hide = true)]
    Engine {
        #[arg(value_enum)]
        name: EngineName,
    },
}

/// The options of one measured run.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct RunArgs {
    /// Workloads to run; all of them if none is named.
    pub(crate) workloads: Vec<String>,

    /// Three rounds instead of five, one load and one cold round; a tenth of the rows in the workloads of keyed tables.
    #[arg(long)]
    pub(crate) quick: bool,

    /// One round of everything in a tiny size: shows that it runs, and measures nothing.
    #[arg(long, conflicts_with_all = ["quick", "sf", "rounds"])]
    pub(crate) smoke: bool,

    /// TPC-H scale factor; 1 is about a gigabyte of text.
    #[arg(long, default_value_t = 1.0, value_parser = scale_factor)]
    pub(crate) sf: f64,

    /// Engines to compare with, separated by commas.
    #[arg(long, value_delimiter = ',', default_values_t = Peer::ALL)]
    pub(crate) against: Vec<Peer>,

    /// Threads of every engine; the machine's cores if not given.
    #[arg(long)]
    pub(crate) threads: Option<usize>,

    /// Measured rounds of every warm query.
    #[arg(long)]
    pub(crate) rounds: Option<usize>,

    /// Folder of the generated tables; the user's cache folder if not given.
    #[arg(long)]
    pub(crate) data: Option<PathBuf>,

    /// Folder of the report; `bench-results/<UTC time>` if not given.
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,
}

/// The options of `generate`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct GenerateArgs {
    /// TPC-H scale factor.
    #[arg(long, default_value_t = 1.0, value_parser = scale_factor)]
    pub(crate) sf: f64,

    /// Folder to write to; the user's cache folder if not given.
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,

    /// Tables to write, separated by commas; all eight if not given.
    #[arg(long, value_delimiter = ',')]
    pub(crate) tables: Vec<String>,

    /// File format of the tables.
    #[arg(long, value_enum, default_value_t = Format::Parquet)]
    pub(crate) format: Format,
}

/// A file format that `generate` writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Parquet,
}

/// An engine that this binary contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum EngineName {
    Cayenne,
    Parquet,
    Sqlite,
}

/// An engine that Cayenne is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Peer {
    Duckdb,
    Parquet,
    Sqlite,
}

impl Peer {
    const ALL: [Self; 3] = [Self::Duckdb, Self::Parquet, Self::Sqlite];

    /// The name in reports and on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Duckdb => "duckdb",
            Self::Parquet => "parquet",
            Self::Sqlite => "sqlite",
        }
    }
}

impl std::fmt::Display for Peer {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(self.name())
    }
}

fn scale_factor(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| format!("`{text}` is not a number"))?;
    if value.is_finite() && value > 0.0 {
        return Ok(value);
    }
    Err(format!("a scale factor is larger than zero, not {text}"))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn workloads_and_options_parse_without_a_subcommand() {
        let args = Args::parse_from(["cayenne-bench", "tpch", "open", "--quick", "--against", "duckdb"]);
        assert!(args.command.is_none());
        assert_eq!(args.run.workloads, ["tpch", "open"]);
        assert_eq!(args.run.against, [Peer::Duckdb]);
    }

    #[test]
    fn zero_is_not_a_scale_factor() {
        assert!(scale_factor("0").is_err());
        assert!(scale_factor("0.01").is_ok());
    }
}
