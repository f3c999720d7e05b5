//! A README says the same five things in every crate, so that a reader knows where to look.

use crate::tree::{Crate, Finding, Tree};

/// The five headings, in the order a stranger asks.
const HEADINGS: &[&str] =
    &["## What it is", "## What it is not", "## Example", "## Promises", "## Where to start reading"];

/// A README that needs more is a document.
const LINES_MAX: usize = 79;

/// Crates that nobody outside this repository uses need a README, but not the five headings.
const TOOLS: &[&str] = &["cayenne-benches", "cayenne-testkit", "xtask"];

/// Every crate must have its README.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    tree.crates.iter().flat_map(|member| of_crate(tree, member)).collect()
}

fn of_crate(tree: &Tree, member: &Crate) -> Vec<Finding> {
    let path = format!("{}/README.md", member.folder);
    let text = tree.texts.get(&path).map_or("", |text| text.trim_end());
    if text.is_empty() {
        return vec![Finding::new(&path, 1, "is missing or empty")];
    }
    if TOOLS.contains(&member.name.as_str()) {
        return Vec::new();
    }
    let missing = HEADINGS.iter().filter(|heading| !text.lines().any(|line| line.trim_end() == **heading));
    let mut findings: Vec<_> =
        missing.map(|heading| Finding::new(&path, 1, format!("has no heading `{heading}`"))).collect();
    let lines = text.lines().count();
    if lines > LINES_MAX {
        findings.push(Finding::new(&path, LINES_MAX + 1, format!("{lines} lines, at most {LINES_MAX}")));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(name: &str, readme: &str) -> usize {
        let mut tree = Tree::of(name, &[]);
        tree.texts.insert(format!("{name}/README.md"), readme.to_owned());
        check(&tree).len()
    }

    fn complete() -> String {
        HEADINGS.join("\n\nText.\n\n") + "\n\nText.\n"
    }

    #[test]
    fn complete_readme_is_fine() {
        assert_eq!(found("cayenne-table", &complete()), 0);
    }

    #[test]
    fn every_missing_heading_is_found() {
        assert_eq!(found("cayenne-table", &complete().replace("## Example\n", "## Examples\n")), 1);
        assert_eq!(found("cayenne-table", "# cayenne-table\n"), HEADINGS.len());
    }

    #[test]
    fn long_readme_is_found() {
        let filled = |lines: usize| complete() + &"Text.\n".repeat(lines - complete().lines().count());
        assert_eq!(found("cayenne-table", &filled(79)), 0);
        assert_eq!(found("cayenne-table", &filled(80)), 1);
    }

    #[test]
    fn tools_need_some_readme_and_no_headings() {
        assert_eq!(found("xtask", "# xtask\n"), 0);
        assert_eq!(found("xtask", "\n"), 1);
        assert_eq!(check(&Tree::of("cayenne-benches", &[])).len(), 1);
    }
}
