//! The commands of this repository: `test`, `tidy`, `docs`, `bench`, `queries` and `demo`.
//!
//! It knows the crates of Cayenne by name and by file only. It depends on none of them, so it builds in seconds and
//! works while they do not compile.

#![expect(
    clippy::disallowed_methods,
    reason = "the seams serve the tests of the engine; this crate measures, writes and starts things for a person"
)]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the terminal is where the results of a command go")]

mod bench;
mod cargo;
mod ci;
mod demo;
mod disk;
mod duckdb;
mod failure;
mod layers;
mod queries;
mod reference;
mod tidy;
mod tree;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::cargo::Cargo;
use crate::failure::Result;

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about = "The commands of this repository")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run everything that CI runs, in order of cost
    Test(ci::TestArgs),
    /// Check the house rules that no compiler checks
    Tidy,
    /// Write the reference pages of the documentation anew from the code
    Docs,
    /// Build the benchmark command with optimisation and hand it every argument
    Bench(bench::BenchArgs),
    /// Ask very many random queries of Cayenne and of another engine, and compare the answers
    Queries(queries::QueriesArgs),
    /// Load TPC-H, query it, kill a load half-way, and check what is left
    Demo(demo::DemoArgs),
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("\nxtask: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<()> {
    let cargo = Cargo::find()?;
    match command {
        Command::Test(args) => ci::run(&cargo, &args),
        Command::Tidy => tidy::run(&cargo),
        Command::Docs => reference::run(&cargo),
        Command::Bench(args) => bench::run(&cargo, &args),
        Command::Queries(args) => queries::run(&cargo, &args),
        Command::Demo(args) => demo::run(&cargo, &args),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn bench_receives_every_argument_even_help() {
        let cli = Cli::try_parse_from(["xtask", "bench", "tpch", "--sf", "1", "--help"]).unwrap();
        let Command::Bench(args) = cli.command else { panic!("parsed as another command") };
        assert_eq!(args.forwarded, ["tpch", "--sf", "1", "--help"]);
    }
}
