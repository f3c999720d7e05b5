//! Builds the benchmark command with optimisation and hands it every argument.

use std::ffi::OsString;
use std::process::Command;

use crate::cargo::Cargo;
use crate::failure::{Failure, Result};

#[derive(clap::Args)]
#[command(disable_help_flag = true)]
pub(crate) struct BenchArgs {
    /// Given to `cayenne-bench` as they are, `--help` too
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) forwarded: Vec<OsString>,
}

/// Runs `cayenne-bench` in the foreground.
pub(crate) fn run(cargo: &Cargo, args: &BenchArgs) -> Result<()> {
    let programs = cargo.release_programs()?;
    let status = Command::new(programs.join("cayenne-bench")).args(&args.forwarded).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::new(format!("cayenne-bench ended with {status}"))),
        Err(error) => Err(Failure::new(format!("cayenne-bench could not be started: {error}"))),
    }
}
