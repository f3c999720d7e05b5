//! The commands of the tour, as processes.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::cargo::Cargo;
use crate::failure::{Failure, Result};

/// The two programs, and the folder they work in.
pub(super) struct Engine {
    programs: PathBuf,
    folder: PathBuf,
}

/// What a process that ended well left behind.
pub(super) struct Run {
    pub(super) output: String,
    pub(super) took: Duration,
}

impl Engine {
    /// Builds `cayenne` and `cayenne-bench`, with full optimisation or as the tests use them.
    pub(super) fn build(cargo: &Cargo, is_optimised: bool) -> Result<Self> {
        println!("Building cayenne; the first time this takes a while.");
        let programs = if is_optimised { cargo.release_programs() } else { cargo.test_programs() }?;
        if !is_optimised {
            println!(
                "This is the build of the tests, in which plans and joins are not optimised: `--release` is faster."
            );
        }
        Ok(Self { programs, folder: cargo.target_dir().join("tmp").join("demo") })
    }

    /// Takes the two programs from one folder and works in the other.
    #[cfg(test)]
    pub(super) fn over(programs: PathBuf, folder: PathBuf) -> Self {
        Self { programs, folder }
    }

    /// Where the tour keeps everything.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The generated files.
    pub(super) fn parquet_dir(&self) -> PathBuf {
        self.folder.join("parquet")
    }

    /// The tables.
    pub(super) fn database(&self) -> PathBuf {
        self.folder.join("db")
    }

    /// The `cayenne` command itself.
    pub(super) fn program(&self) -> PathBuf {
        self.programs.join(format!("cayenne{}", std::env::consts::EXE_SUFFIX))
    }

    /// Returns `cayenne --db …`, ready for a subcommand.
    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(self.program());
        command.arg("--db").arg(self.database());
        command
    }

    /// Returns `cayenne-bench`, ready for a subcommand.
    pub(super) fn bench_command(&self) -> Command {
        Command::new(self.programs.join(format!("cayenne-bench{}", std::env::consts::EXE_SUFFIX)))
    }

    /// Returns the command that loads the generated file of a table.
    pub(super) fn load_command(&self, table: &str, append: bool) -> Command {
        self.load_into(table, table, append)
    }

    /// Returns the command that loads the generated file `source` into another table.
    pub(super) fn load_into(&self, source: &str, table: &str, append: bool) -> Command {
        let mut command = self.command();
        command.arg("load").arg(self.parquet_dir().join(format!("{source}.parquet"))).args(["--into", table]);
        if append {
            command.arg("--append");
        }
        command
    }

    /// Runs one statement; the output is its result as CSV.
    pub(super) fn sql(&self, statement: &str) -> Result<Run> {
        let mut command = self.command();
        command.args(["sql", "--format", "csv", "-c", statement]);
        finish(&mut command)
    }

    /// Asks how many rows a table shows.
    pub(super) fn count(&self, table: &str) -> Result<u64> {
        let run = self.sql(&format!("SELECT count(*) FROM {table}"))?;
        single_number(&run.output)
            .ok_or_else(|| Failure::new(format!("SELECT count(*) FROM {table} printed no number:\n{}", run.output)))
    }
}

/// Reads the one value of a CSV result: the line below the header.
fn single_number(csv: &str) -> Option<u64> {
    let mut lines = csv.lines().filter(|line| !line.trim().is_empty());
    let value = lines.nth(1)?.trim().parse().ok()?;
    lines.next().is_none().then_some(value)
}

/// Runs the command to its end.
///
/// # Errors
///
/// Its command line and all it printed, if it does not end well.
pub(super) fn finish(command: &mut Command) -> Result<Run> {
    let start = Instant::now();
    let output = command.stdin(Stdio::null()).output().map_err(|error| could_not_start(command, &error))?;
    let took = start.elapsed();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(Run { output: printed, took });
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    Err(Failure::new(format!("{} ended with {}\n{printed}{complaint}", line_of(command), output.status)))
}

/// Starts the command and kills it, without a warning it could act on. Returns whether it was still running.
///
/// # Errors
///
/// If it ended by itself, and not well.
pub(super) fn kill_after(command: &mut Command, delay: Duration) -> Result<bool> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().map_err(|error| could_not_start(command, &error))?;
    thread::sleep(delay);
    let ended = child.try_wait().map_err(|error| could_not_start(command, &error))?;
    if let Some(status) = ended {
        let complaint = || Failure::new(format!("{} ended with {status}", line_of(command)));
        return status.success().then_some(false).ok_or_else(complaint);
    }
    let killed = child.kill().and_then(|()| child.wait());
    let status = killed.map_err(|error| Failure::new(format!("{} could not be killed: {error}", line_of(command))))?;
    Ok(!status.success())
}

fn could_not_start(command: &Command, error: &std::io::Error) -> Failure {
    Failure::new(format!("{} could not be run: {error}", line_of(command)))
}

/// The command as a person would read it.
fn line_of(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn count_is_the_one_value_below_the_header() {
        assert_eq!(single_number("count(*)\n600572\n"), Some(600_572));
        assert_eq!(single_number("count(*)\n"), None);
        assert_eq!(single_number("count(*)\nmany\n"), None);
        assert_eq!(single_number("count(*)\n1\n2\n"), None);
    }

    #[test]
    fn missing_program_is_named() {
        let failure = finish(&mut Command::new("no-such-program")).err().unwrap();
        assert!(failure.to_string().contains("no-such-program"), "{failure}");
    }

    #[cfg(unix)]
    #[test]
    fn command_that_fails_shows_what_it_printed() {
        let failure = finish(Command::new("sh").args(["-c", "echo out; echo err >&2; exit 3"])).err().unwrap();
        assert!(failure.to_string().ends_with("out\nerr\n"), "{failure}");
    }

    #[cfg(unix)]
    #[test]
    fn kill_tells_a_running_process_from_one_that_ended() {
        let short = Duration::from_millis(200);
        assert_eq!(kill_after(Command::new("sleep").arg("60"), short), Ok(true));
        assert_eq!(kill_after(&mut Command::new("true"), short), Ok(false));
        assert!(kill_after(&mut Command::new("false"), short).is_err());
    }
}
