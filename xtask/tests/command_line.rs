//! The command line as a whole.
//!
//! `cargo xtask demo` builds this test too, by its name: with a test among what it builds, cargo chooses the features of all
//! dependencies as it does for `cargo xtask test`, so that neither compiles what the other has compiled.

use std::process::Command;

#[test]
fn help_names_every_command() {
    let output = Command::new(env!("CARGO_BIN_EXE_xtask")).arg("--help").output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success());
    for command in ["test", "tidy", "bench", "queries", "demo"] {
        assert!(help.lines().any(|line| line.trim_start().starts_with(command)), "{command} is missing in: {help}");
    }
}
