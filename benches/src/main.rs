//! `cayenne-bench`: measures Cayenne against other engines and writes a report.
//!
//! The measuring process runs no query itself. Each engine is a child process that is controlled with JSON lines, so
//! that its peak memory and its CPU time are its own. The Rust engines are this same binary, called with `engine NAME`.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command talks to its terminal")]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads clocks and files directly")]

mod accounts;
mod answer;
mod args;
mod data;
mod engine;
mod engines;
mod events;
mod folders;
mod keyed;
mod machine;
mod measure;
mod noise;
mod os;
mod process;
mod protocol;
mod python;
mod report;
mod run;
mod trace;
mod workload;

use std::error::Error;
use std::process::ExitCode;

use clap::Parser;

use crate::args::{Args, Command};

/// All Rust engines use this allocator, so that it makes no difference between them. SQLite has its own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The result of any step of the benchmark. Failures are only reported, never matched by kind.
type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> ExitCode {
    let args = Args::parse();
    let outcome = match args.command {
        Some(Command::Generate(generate)) => data::generate(&generate).map(|()| true),
        Some(Command::Engine { name }) => engine::serve(name).map(|()| true),
        None => run::run(&args.run),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}
