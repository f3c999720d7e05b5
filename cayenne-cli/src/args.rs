//! What the command line says, as types that cannot be wrong.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use cayenne_format::TableOptions;
use cayenne_table::{Backend, COMPACTION_MEMORY_FRACTION, Synchronous};
use clap::error::ErrorKind;
use clap::{ArgAction, ArgMatches, Args, FromArgMatches, Parser, Subcommand, ValueEnum};

use crate::text_args::{InputFormat, TextArgs};

/// A table engine for DataFusion: compressed tables on local disk, queried with SQL
#[derive(Debug, Parser)]
#[command(name = "cayenne", version, about, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) globals: Globals,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Debug, Args)]
pub(crate) struct Globals {
    /// Database folder
    #[arg(long, global = true, env = "CAYENNE_DB", default_value = "./cayenne-data", value_name = "PATH")]
    pub(crate) db: PathBuf,
    /// Metastore of the database; turso needs a build with the feature `turso`
    #[arg(long, global = true, env = "CAYENNE_METASTORE", default_value_t, value_name = "sqlite|turso", value_parser = parse_backend)]
    pub(crate) metastore: Backend,
    /// Durability of a commit
    #[arg(long, global = true, value_enum, env = "CAYENNE_DURABILITY", default_value_t)]
    pub(crate) durability: Durability,
    /// Output format of query results
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) format: Format,
    /// Whether tables are compacted in the background: a short command would only begin it.
    #[arg(skip)]
    pub(crate) has_upkeep: bool,
    /// Print only errors on stderr
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// Log more; repeat for debug output
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,
    /// Memory limit of queries and loads, for example 512MB or 4GiB [default: none]
    #[arg(long, global = true, value_name = "SIZE", value_parser = parse_size)]
    pub(crate) memory_limit: Option<NonZeroUsize>,
    /// Share of the memory limit reserved for background compaction, 0.05 to 0.5
    #[arg(long, global = true, value_name = "SHARE", default_value_t = COMPACTION_MEMORY_FRACTION, value_parser = parse_share)]
    pub(crate) compaction_memory_fraction: f64,
    /// Number of threads [default: one per core]
    #[arg(long, global = true, value_name = "N")]
    pub(crate) threads: Option<NonZeroUsize>,
}

impl Globals {
    /// Returns the least severe level that is logged.
    pub(crate) fn verbosity(&self) -> &'static str {
        match (self.quiet, self.verbose) {
            (true, _) => "error",
            // How the text files of a statement are read is no news to be asked for.
            (false, 0) => "warn,cayenne_datafusion::files=info",
            (false, 1) => "info",
            (false, _) => "debug",
        }
    }
}

/// Durability of a commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Durability {
    /// A commit survives power loss
    #[default]
    Full,
    /// A commit survives a process crash; power loss may take the last commits
    Relaxed,
}

impl Durability {
    pub(crate) fn synchronous(self) -> Synchronous {
        match self {
            Self::Full => Synchronous::Full,
            Self::Relaxed => Synchronous::Normal,
        }
    }
}

/// How rows are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A table with borders
    #[default]
    Table,
    /// Comma-separated values with a header
    Csv,
    /// One JSON array of objects
    Json,
    /// One JSON object per line
    Ndjson,
    /// An Arrow IPC stream
    Arrow,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Load files into a table, which is created if it does not exist
    Load(LoadArgs),
    /// Run SQL from -c, -f or a pipe, or start a shell
    Sql(SqlArgs),
    /// List tables
    Tables,
    /// Show columns, options, files and statistics of a table
    Describe(DescribeArgs),
    /// Check files against the metastore
    Check {
        /// Read every byte and verify checksums, not only file lengths
        #[arg(long)]
        deep: bool,
    },
    /// Remove damaged files from tables so that the rest is usable; the files are moved aside, not deleted
    Repair {
        /// Read every byte to find damage, not only file lengths
        #[arg(long)]
        deep: bool,
        /// Print what would be done, and change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Restore a lost or damaged metastore
    Recover {
        /// Restore from the manifests next to the data, which are written when a database is closed
        #[arg(long, required = true)]
        from_manifest: bool,
        /// Print what would be restored, and change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Export a table or a view to a folder
    Export {
        /// Table or view
        table: String,
        /// Target folder; it must be empty or missing
        #[arg(long, value_name = "FOLDER")]
        to: PathBuf,
    },
    /// Import a table or a view from an exported folder
    Import(ImportArgs),
    /// Remove orphan files left by interrupted writes (called vacuum elsewhere)
    Collect {
        /// List the files, and remove none
        #[arg(long)]
        dry_run: bool,
    },
    /// Flush inline rows from the metastore to data files
    Flush {
        /// Tables [default: all]
        tables: Vec<String>,
    },
    /// Compact small data files and drop deleted rows
    Compact(CompactArgs),
    /// Expire old snapshots that no reader has pinned; `collect` then removes their files
    Expire(ExpireArgs),
    /// Print a shell completion script
    Completions {
        /// Shell
        shell: clap_complete::Shell,
    },
    /// Print the version
    Version,
}

#[derive(Debug, Args)]
pub(crate) struct LoadArgs {
    /// Files or glob patterns such as 'data/*.parquet': Parquet, CSV, TSV, NDJSON or Arrow; text may be compressed
    /// (.gz, .zst, .bz2); '-' is stdin
    #[arg(required = true, value_name = "SRC")]
    pub(crate) sources: Vec<PathBuf>,
    /// Target table
    #[arg(long, value_name = "TABLE")]
    pub(crate) into: String,
    #[command(flatten)]
    pub(crate) existing: Existing,
    /// Primary key of a new table, for example 'id' or 'region, id'
    #[arg(long, value_name = "COLUMNS")]
    pub(crate) primary_key: Option<String>,
    /// Option of a new table; may be repeated
    #[arg(long = "option", value_name = "NAME=VALUE", value_parser = parse_option)]
    pub(crate) options: Vec<(String, String)>,
    /// Format of the files [default: from the file extension]
    #[arg(long, value_enum, value_name = "KIND")]
    pub(crate) input_format: Option<InputFormat>,
    #[command(flatten)]
    pub(crate) text: TextArgs,
}

/// What happens to the rows of an existing table.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub(crate) struct Existing {
    /// Append to the table
    #[arg(long)]
    pub(crate) append: bool,
    /// Replace rows with equal keys and append the others; the table needs a primary key
    #[arg(long)]
    pub(crate) upsert: bool,
    /// Replace all rows of the table
    #[arg(long)]
    pub(crate) replace: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SqlArgs {
    #[command(flatten)]
    pub(crate) inputs: Inputs,
    /// Open the database read-only; works while another process writes
    #[arg(long)]
    pub(crate) read_only: bool,
    /// Print `OK n` or `ERR code message` after each statement and continue after errors, for scripts
    #[arg(long)]
    pub(crate) acknowledge: bool,
}

/// Where SQL comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// The argument of `-c`.
    Text(String),
    /// The file named by `-f`.
    File(PathBuf),
}

/// Every `-c` and `-f`, in the order in which they were given.
#[derive(Debug, Default)]
pub(crate) struct Inputs(pub(crate) Vec<Input>);

const TEXT: &str = "command";
const FILE: &str = "file";

impl Args for Inputs {
    fn augment_args(command: clap::Command) -> clap::Command {
        let text = clap::Arg::new(TEXT)
            .short('c')
            .long(TEXT)
            .value_name("SQL")
            .action(ArgAction::Append)
            .help("Run these statements; may be repeated and combined with -f");
        let file = clap::Arg::new(FILE)
            .short('f')
            .long(FILE)
            .value_name("FILE")
            .action(ArgAction::Append)
            .value_parser(clap::value_parser!(PathBuf))
            .help("Run the statements of a file; may be repeated; '-' is stdin");
        command.arg(text).arg(file)
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Inputs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let texts = matches.get_many::<String>(TEXT).unwrap_or_default().cloned().map(Input::Text);
        let files = matches.get_many::<PathBuf>(FILE).unwrap_or_default().cloned().map(Input::File);
        let positions = |id| matches.indices_of(id).unwrap_or_default();
        let mut inputs: Vec<(usize, Input)> = positions(TEXT).zip(texts).chain(positions(FILE).zip(files)).collect();
        inputs.sort_by_key(|(position, _)| *position);
        Ok(Self(inputs.into_iter().map(|(_, input)| input).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[derive(Debug, Args)]
pub(crate) struct ExpireArgs {
    /// Tables [default: all]
    pub(crate) tables: Vec<String>,
    /// Number of snapshots to keep before the current one; overrides the table options
    #[arg(long, value_name = "N")]
    pub(crate) keep: Option<u64>,
    /// Keep snapshots that were current within this time, for example 90s, 15m, 6h or 7d
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(crate) keep_for: Option<u64>,
    /// Print what would be expired, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CompactArgs {
    /// Tables [default: all]
    pub(crate) tables: Vec<String>,
    /// Explain how close each compaction trigger is, and compact nothing
    #[arg(long, conflicts_with_all = ["dry_run", "max_files"])]
    pub(crate) why: bool,
    /// Print the files of the first pass, and compact nothing
    #[arg(long, conflicts_with = "max_files")]
    pub(crate) dry_run: bool,
    /// Maximum number of data files per pass [default: 32]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(2..))]
    pub(crate) max_files: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// Exported folder
    #[arg(value_name = "FOLDER")]
    pub(crate) slice: PathBuf,
    /// Name of the table [default: its name when it was exported]
    #[arg(long, value_name = "TABLE")]
    pub(crate) into: Option<String>,
    /// Replace an existing table of that name
    #[arg(long)]
    pub(crate) replace: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DescribeArgs {
    /// Table
    pub(crate) table: String,
    /// Print one JSON object with stable keys
    #[arg(long)]
    pub(crate) json: bool,
    /// Maximum number of data files to list
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) files: usize,
}

fn parse_option(text: &str) -> Result<(String, String), clap::Error> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err(clap::Error::raw(ErrorKind::ValueValidation, "write it as name=value")),
    }
}

fn parse_backend(text: &str) -> Result<Backend, String> {
    text.parse().map_err(|error: cayenne_format::Error| error.way_to_mend().unwrap_or_default().to_owned())
}

/// Reads a length of time as the options of a table do; returns seconds.
fn parse_time(text: &str) -> Result<u64, String> {
    let mut options = TableOptions::default();
    let parsed = options.set("snapshot_retention", text);
    parsed.map_err(|error| error.way_to_mend().unwrap_or_default().to_owned())?;
    Ok(options.retention.seconds)
}

/// Reads a share; one that is too small or too large is taken for the nearest that is not.
fn parse_share(text: &str) -> Result<f64, String> {
    match text.trim().parse::<f64>() {
        Ok(share) if share.is_finite() => Ok(share),
        _ => Err("use a number from 0.05 to 0.5".to_owned()),
    }
}

/// Reads `512MB` (a million bytes each), `4GiB` or `4G` (1024³ bytes each), or a plain number of bytes.
fn parse_size(text: &str) -> Result<NonZeroUsize, String> {
    let digits = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits).unwrap_or((text, ""));
    let factor: usize = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        _ => return Err("use a unit such as MB, MiB, GB or GiB".to_owned()),
    };
    let number: usize = number.parse().map_err(|_| "write it as a whole number and a unit, as in 512MB".to_owned())?;
    number.checked_mul(factor).and_then(NonZeroUsize::new).ok_or_else(|| "out of range".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_of_the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn commands_and_files_keep_the_order_in_which_they_were_given() {
        let cli = Cli::parse_from(["cayenne", "sql", "-c", "a", "-f", "b", "--command", "c", "-f-"]);
        let Command::Sql(args) = cli.command else { panic!("not sql") };
        let text = |text: &str| Input::Text(text.to_owned());
        let file = |path: &str| Input::File(path.into());
        assert_eq!(args.inputs.0, [text("a"), file("b"), text("c"), file("-")]);
    }

    #[test]
    fn sizes_have_units() {
        assert_eq!(parse_size("512MB").unwrap().get(), 512_000_000);
        assert_eq!(parse_size("4 GiB").unwrap().get(), 4 << 30);
        assert_eq!(parse_size("1024").unwrap().get(), 1024);
        for text in ["", "MB", "-1", "0", "1.5GB", "1 parsec", "99999999999999999999", "99999999999TB"] {
            assert!(parse_size(text).is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn append_and_replace_exclude_each_other() {
        let both = ["cayenne", "load", "a.csv", "--into", "t", "--append", "--replace"];
        assert!(Cli::try_parse_from(both).is_err());
    }
}
