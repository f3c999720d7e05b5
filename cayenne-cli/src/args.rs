//! What the command line says, as types that cannot be wrong.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use cayenne_format::TableOptions;
use cayenne_table::{Backend, COMPACTION_MEMORY_FRACTION, Synchronous};
use clap::error::ErrorKind;
use clap::{ArgAction, ArgMatches, Args, FromArgMatches, Parser, Subcommand, ValueEnum};

use crate::text_args::{InputFormat, TextArgs};

/// Keeps tables as compressed files and answers SQL on them.
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
    /// The folder of the database
    #[arg(long, global = true, env = "CAYENNE_DB", default_value = "./cayenne-data", value_name = "PATH")]
    pub(crate) db: PathBuf,
    /// The metastore of the database; turso needs a build with that feature
    #[arg(long, global = true, env = "CAYENNE_METASTORE", default_value_t, value_name = "sqlite|turso", value_parser = parse_backend)]
    pub(crate) metastore: Backend,
    /// When a write counts as done: on stable storage, or once the system has it, so that a power cut may take the last ones
    #[arg(long, global = true, value_enum, env = "CAYENNE_DURABILITY", default_value_t)]
    pub(crate) durability: Durability,
    /// How rows are printed
    #[arg(long, global = true, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) format: Format,
    /// Whether tables look after themselves beside the command: a short one would only begin it.
    #[arg(skip)]
    pub(crate) has_upkeep: bool,
    /// Print nothing on stderr but errors
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// Log more; twice, log much more
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,
    /// The memory that queries and loads may use, as in 512MB or 4GiB; without a limit if not given
    #[arg(long, global = true, value_name = "SIZE", value_parser = parse_size)]
    pub(crate) memory_limit: Option<NonZeroUsize>,
    /// The share of the memory limit that compaction beside `sql` has for itself: 0.05 to 0.5
    #[arg(long, global = true, value_name = "SHARE", default_value_t = COMPACTION_MEMORY_FRACTION, value_parser = parse_share)]
    pub(crate) compaction_memory_fraction: f64,
    /// The number of threads; one per core if not given
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

/// When a write counts as done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Durability {
    /// When it survives a power cut
    #[default]
    Full,
    /// When it survives the end of the process
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
    /// Columns with borders, for people
    #[default]
    Table,
    /// Comma-separated values with a header
    Csv,
    /// One array of objects
    Json,
    /// One object per line
    Ndjson,
    /// An Arrow IPC stream
    Arrow,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Load files into a table; a missing table is made from their columns
    Load(LoadArgs),
    /// Run SQL: from -c and -f, from a pipe, or in a shell
    Sql(SqlArgs),
    /// List the tables
    Tables,
    /// Show what is known of a table
    Describe(DescribeArgs),
    /// Compare the files with what the database says of them
    Check {
        /// Read every byte, not only the lengths
        #[arg(long)]
        deep: bool,
    },
    /// Take what is damaged out of the tables, so that the rest can be used; it is moved aside and not deleted
    Repair {
        /// Read every byte to find what is damaged, not only the lengths
        #[arg(long)]
        deep: bool,
        /// Only say what would be done
        #[arg(long)]
        dry_run: bool,
    },
    /// Bring back what the metastore has lost; one that is destroyed is made anew
    Recover {
        /// From the manifests that are written beside the data when a database is closed
        #[arg(long, required = true)]
        from_manifest: bool,
        /// Only say what would come back
        #[arg(long)]
        dry_run: bool,
    },
    /// Write one table, or the definition of a view, into a folder of its own, to be imported elsewhere
    Export {
        /// The table
        table: String,
        /// The folder; it is made, or is empty
        #[arg(long, value_name = "FOLDER")]
        to: PathBuf,
    },
    /// Make a table or a view from a folder that was exported
    Import(ImportArgs),
    /// Remove files that no table names: left-overs of writes that were broken off
    Collect {
        /// Only list them
        #[arg(long)]
        dry_run: bool,
    },
    /// Move rows that are kept in the metastore to data files
    Flush {
        /// The tables; all if none is named
        tables: Vec<String>,
    },
    /// Make fewer and larger data files of small ones, without the rows that are hidden
    Compact(CompactArgs),
    /// Give up earlier snapshots, as far as nobody reads them; `collect` then removes their files
    Expire(ExpireArgs),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the version
    Version,
}

#[derive(Debug, Args)]
pub(crate) struct LoadArgs {
    /// Files or patterns such as 'data/*.parquet'; Parquet, CSV, TSV, NDJSON or Arrow, text also as .gz, .zst, .bz2;
    /// '-' is stdin
    #[arg(required = true, value_name = "SRC")]
    pub(crate) sources: Vec<PathBuf>,
    /// The table
    #[arg(long, value_name = "TABLE")]
    pub(crate) into: String,
    #[command(flatten)]
    pub(crate) existing: Existing,
    /// The columns of the primary key of the table that is made, as in 'id' or 'region, id'
    #[arg(long, value_name = "COLUMNS")]
    pub(crate) primary_key: Option<String>,
    /// An option of the table that is made; may be given several times
    #[arg(long = "option", value_name = "NAME=VALUE", value_parser = parse_option)]
    pub(crate) options: Vec<(String, String)>,
    /// What the files are, whatever their names end in
    #[arg(long, value_enum, value_name = "KIND")]
    pub(crate) input_format: Option<InputFormat>,
    #[command(flatten)]
    pub(crate) text: TextArgs,
}

/// What becomes of the rows of a table that is there already.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub(crate) struct Existing {
    /// Keep the rows of the table
    #[arg(long)]
    pub(crate) append: bool,
    /// Replace the rows that have the keys of the new ones, and keep the others; the table needs a primary key
    #[arg(long)]
    pub(crate) upsert: bool,
    /// Replace the rows of the table
    #[arg(long)]
    pub(crate) replace: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SqlArgs {
    #[command(flatten)]
    pub(crate) inputs: Inputs,
    /// Read only; works while another process writes
    #[arg(long)]
    pub(crate) read_only: bool,
    /// For scripts: after each statement, one line `OK n` or `ERR code message`; an error does not end the run
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
            .help("Run these statements; may be given several times, and together with -f");
        let file = clap::Arg::new(FILE)
            .short('f')
            .long(FILE)
            .value_name("FILE")
            .action(ArgAction::Append)
            .value_parser(clap::value_parser!(PathBuf))
            .help("Run the statements of a file; '-' is stdin");
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
    /// The tables; all if none is named
    pub(crate) tables: Vec<String>,
    /// How many snapshots before the current one are kept, whatever the options of the table say
    #[arg(long, value_name = "N")]
    pub(crate) keep: Option<u64>,
    /// Keep those that were current within this time, as in 90s, 15m, 6h or 7d
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    pub(crate) keep_for: Option<u64>,
    /// Only say what would be given up
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CompactArgs {
    /// The tables; all if none is named
    pub(crate) tables: Vec<String>,
    /// Only say how near each reason to compact is to apply
    #[arg(long, conflicts_with_all = ["dry_run", "max_files"])]
    pub(crate) why: bool,
    /// Only say what the first pass would take
    #[arg(long, conflicts_with = "max_files")]
    pub(crate) dry_run: bool,
    /// A pass reads at most so many data files [default: 32]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(2..))]
    pub(crate) max_files: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// The folder that was exported
    #[arg(value_name = "FOLDER")]
    pub(crate) slice: PathBuf,
    /// The name of the table; if not given, the one that it had
    #[arg(long, value_name = "TABLE")]
    pub(crate) into: Option<String>,
    /// Let it take the place of a table of that name
    #[arg(long)]
    pub(crate) replace: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DescribeArgs {
    /// The table
    pub(crate) table: String,
    /// Print one JSON object, whose keys stay the same
    #[arg(long)]
    pub(crate) json: bool,
    /// How many data files are listed
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
