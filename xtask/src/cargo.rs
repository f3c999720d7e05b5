//! How this crate starts `cargo`: in the root of the workspace, with one build folder for every checkout.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cargo_metadata::{Metadata, MetadataCommand};

use crate::failure::{Failure, Result};

/// Starts every `cargo` of this crate.
pub(crate) struct Cargo {
    metadata: Metadata,
    target_dir: PathBuf,
}

impl Cargo {
    /// Asks `cargo metadata` about the workspace of the current folder and chooses the build folder.
    pub(crate) fn find() -> Result<Self> {
        let metadata = MetadataCommand::new()
            .no_deps()
            .exec()
            .map_err(|error| Failure::new(format!("cargo metadata failed: {error}")))?;
        let chosen = target_dir(|name| env::var_os(name), cfg!(target_os = "macos"))?;
        let target_dir = std::path::absolute(&chosen).map_err(|error| Failure::at(&chosen, &error))?;
        Ok(Self { metadata, target_dir })
    }

    /// The members of the workspace and what their manifests declare.
    pub(crate) fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// The folder that holds the workspace manifest.
    pub(crate) fn root(&self) -> &Path {
        self.metadata.workspace_root.as_std_path()
    }

    /// The build folder of every child.
    pub(crate) fn target_dir(&self) -> &Path {
        &self.target_dir
    }

    /// Returns a `cargo` that is ready for arguments.
    ///
    /// `cargo run` tells a program about the package it came from. Build scripts of dependencies watch those variables,
    /// so a child that inherited them would rebuild what the same command typed by hand has just built.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.current_dir(self.root()).env("CARGO_TARGET_DIR", &self.target_dir);
        for (name, _) in env::vars_os() {
            if describes_this_package(&name) {
                command.env_remove(name);
            }
        }
        command
    }

    /// Builds `cayenne` and `cayenne-bench` with optimisation and returns the folder they are in.
    ///
    /// Both are always built together: each alone would choose other features for what they share, and build that again.
    pub(crate) fn release_programs(&self) -> Result<PathBuf> {
        self.build(&["--release", "--package", "cayenne-cli", "--package", "cayenne-benches"], "release")
    }

    /// Builds `cayenne` and `cayenne-bench` as the tests use them, and returns the folder they are in.
    ///
    /// With a test among what is built, cargo chooses the features of dependencies as for all tests: `cargo xtask test`
    /// compiles nothing of this again.
    pub(crate) fn test_programs(&self) -> Result<PathBuf> {
        let programs = ["--bin", "cayenne", "--bin", "cayenne-bench", "--test", "command_line"];
        self.build(&[&["--workspace"], programs.as_slice()].concat(), "debug")
    }

    fn build(&self, args: &[&str], folder: &str) -> Result<PathBuf> {
        match self.command().arg("build").args(args).status() {
            Ok(status) if status.success() => Ok(self.target_dir().join(folder)),
            Ok(status) => Err(Failure::new(format!("cargo build {} ended with {status}", args.join(" ")))),
            Err(error) => Err(Failure::new(format!("cargo could not be started: {error}"))),
        }
    }

    /// Whether `cargo <name>` exists on this machine.
    pub(crate) fn has_subcommand(&self, name: &str) -> bool {
        let mut command = self.command();
        command.args([name, "--version"]).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }
}

fn describes_this_package(variable: &OsString) -> bool {
    variable.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_"))
}

/// Chooses the build folder: as the caller says, else in the user's cache, where it outlives a checkout.
fn target_dir(variable: impl Fn(&str) -> Option<OsString>, macos: bool) -> Result<PathBuf> {
    let set = |name| variable(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(chosen) = set("CARGO_TARGET_DIR") {
        return Ok(chosen);
    }
    let home = set("HOME");
    let cache = if macos {
        home.map(|home| home.join("Library/Caches"))
    } else {
        set("XDG_CACHE_HOME").or_else(|| home.map(|home| home.join(".cache")))
    };
    cache
        .map(|cache| cache.join("cayenne/target"))
        .ok_or_else(|| Failure::new("no cache folder is known, because HOME is not set: set CARGO_TARGET_DIR"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(variables: &[(&str, &str)], macos: bool) -> Result<PathBuf> {
        let find = |name: &str| variables.iter().find(|(set, _)| *set == name).map(|(_, value)| OsString::from(value));
        target_dir(find, macos)
    }

    #[test]
    fn target_dir_of_the_caller_wins() {
        let found = chosen(&[("CARGO_TARGET_DIR", "here"), ("HOME", "/home/me")], false);
        assert_eq!(found, Ok(PathBuf::from("here")));
    }

    #[test]
    fn target_dir_falls_back_to_the_cache_of_the_user() {
        let home = ("HOME", "/home/me");
        assert_eq!(chosen(&[home], false), Ok(PathBuf::from("/home/me/.cache/cayenne/target")));
        assert_eq!(chosen(&[home], true), Ok(PathBuf::from("/home/me/Library/Caches/cayenne/target")));
        let xdg = ("XDG_CACHE_HOME", "/cache");
        assert_eq!(chosen(&[home, xdg], false), Ok(PathBuf::from("/cache/cayenne/target")));
        assert_eq!(chosen(&[home, ("CARGO_TARGET_DIR", "")], false), chosen(&[home], false));
    }

    #[test]
    fn target_dir_without_a_home_is_an_error() {
        assert!(chosen(&[], false).is_err());
    }

    #[test]
    fn only_variables_of_the_package_are_kept_from_children() {
        assert!(describes_this_package(&"CARGO_PKG_NAME".into()));
        assert!(describes_this_package(&"CARGO_MANIFEST_DIR".into()));
        assert!(!describes_this_package(&"CARGO_TARGET_DIR".into()));
        assert!(!describes_this_package(&"CARGO_HOME".into()));
    }
}
