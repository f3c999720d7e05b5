//! The house rules that no compiler checks.
//!
//! Every check is a function of the [`Tree`], which is read once; it returns what it found and never stops the others.
//! A new check is a function, a line in [`CHECKS`], and two tests: one case it must find and one it must leave alone.

mod circles;
mod files;
mod format_hash;
mod readme;
mod seams;
mod unfinished;
mod words;

use crate::cargo::Cargo;
use crate::failure::{Failure, Result};
use crate::tree::{Finding, Tree};
use crate::{layers, reference};

/// One check of the whole tree.
type Check = fn(&Tree) -> Vec<Finding>;

const CHECKS: &[Check] = &[
    layers::check,
    circles::check,
    files::walls,
    files::module_docs,
    files::banned_names,
    files::undeclared,
    words::rejected,
    unfinished::leftovers,
    seams::sql,
    seams::spawns,
    readme::check,
    format_hash::check,
    reference::check,
];

/// Runs every check and prints every finding.
///
/// # Errors
///
/// A [`Failure`] with their number, if there are any.
pub(crate) fn run(cargo: &Cargo) -> Result<()> {
    let tree = Tree::load(cargo.root(), cargo.metadata())?;
    let mut findings: Vec<_> = CHECKS.iter().flat_map(|check| check(&tree)).collect();
    findings.sort();
    for finding in &findings {
        println!("{finding}");
    }
    if findings.is_empty() {
        let files: usize = tree.crates.iter().map(|member| member.sources.len()).sum();
        println!("tidy: {} checks, {files} Rust files, nothing to mend", CHECKS.len());
        return Ok(());
    }
    Err(Failure::new(format!("tidy found {} places to mend", findings.len())))
}
