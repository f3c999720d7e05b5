//! The reference pages of the documentation, which are made from the code.
//!
//! The page of error codes is made here, from the texts of the crates. The others need Cayenne itself: a test of
//! `cayenne-cli` (`tests/it/reference.rs`) makes them, and compares them whenever the tests run. So that `tidy` sees a
//! stale page without a build, each of them ends with a hash of the files it is made from.

mod errors;

use std::fs;

use crate::cargo::Cargo;
use crate::failure::{Failure, Result};
use crate::tree::{Finding, Fnv, Tree};

const FOLDER: &str = "docs/reference";

/// The page of error codes.
const ERRORS: &str = "docs/reference/errors.md";

/// The test that makes the other pages.
const MAKER: &str = "cayenne-cli/tests/it/reference.rs";

/// A page that the test makes, and the files that decide what is on it.
struct Page {
    path: &'static str,
    sources: &'static [&'static str],
}

const PAGES: &[Page] = &[
    Page {
        path: "docs/reference/options.md",
        sources: &[
            "cayenne-format/src/table_option.rs",
            "cayenne-format/src/options.rs",
            "cayenne-format/src/compaction_options.rs",
            "cayenne-format/src/key_options.rs",
            "cayenne-datafusion/src/session/settings.rs",
        ],
    },
    Page { path: "docs/reference/command.md", sources: &["cayenne-cli/src/args.rs", "cayenne-cli/src/text_args.rs"] },
    Page {
        path: "docs/reference/system-tables.md",
        sources: &["cayenne-datafusion/src/catalog/system.rs", "cayenne-datafusion/src/catalog/system_columns.rs"],
    },
    Page { path: "docs/reference/metrics.md", sources: &["cayenne-table/src/metric_list.rs"] },
];

/// Writes all pages.
pub(crate) fn run(cargo: &Cargo) -> Result<()> {
    fs::create_dir_all(cargo.root().join(FOLDER)).map_err(|error| Failure::at(FOLDER.as_ref(), &error))?;
    let tree = Tree::load(cargo.root(), cargo.metadata())?;
    write(cargo, ERRORS, &errors::page(&tree))?;
    let mut command = cargo.command();
    command.args(["test", "--quiet", "--workspace", "--test", "it", "--", "reference::"]);
    command.env("CAYENNE_WRITE_REFERENCE", "1");
    match command.status() {
        Ok(status) if status.success() => {}
        Ok(status) => return Err(Failure::new(format!("the test that makes the pages ended with {status}"))),
        Err(error) => return Err(Failure::new(format!("cargo could not be started: {error}"))),
    }
    let tree = Tree::load(cargo.root(), cargo.metadata())?;
    for page in PAGES {
        let made = tree.texts.get(page.path).ok_or_else(|| Failure::new(format!("{} was not made", page.path)))?;
        write(cargo, page.path, &format!("{}\n{}\n", body(made), stamp(&tree, page).0))?;
    }
    Ok(())
}

fn write(cargo: &Cargo, path: &str, text: &str) -> Result<()> {
    let file = cargo.root().join(path);
    fs::write(&file, text).map_err(|error| Failure::at(&file, &error))?;
    println!("docs: {path}");
    Ok(())
}

/// A page without its last line.
fn body(page: &str) -> &str {
    page.split("\n<!-- sources:").next().unwrap_or_default()
}

/// The last line of a page, and a finding for each of its files that is gone.
fn stamp(tree: &Tree, page: &Page) -> (String, Vec<Finding>) {
    let mut fnv = Fnv::default();
    let mut findings = Vec::new();
    for path in page.sources.iter().chain([&MAKER]) {
        match tree.source(path) {
            // With comments: those of arguments are the help of the command.
            Some(source) => fnv.file(path, source.text()),
            None => findings.push(Finding::new(path, 1, format!("is gone, and {} is made from it", page.path))),
        }
    }
    (format!("<!-- sources: {} -->", fnv.hex()), findings)
}

/// Every page must be what `cargo xtask docs` writes.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let stale = |path: &str| Finding::new(path, 1, "is missing or stale: run `cargo xtask docs`");
    let mut findings = Vec::new();
    for page in PAGES {
        let (stamp, gone) = stamp(tree, page);
        let is_stamped = tree.texts.get(page.path).is_some_and(|text| text.trim_end().ends_with(&stamp));
        if gone.is_empty() && !is_stamped {
            findings.push(stale(page.path));
        }
        findings.extend(gone);
    }
    if tree.texts.get(ERRORS) != Some(&errors::page(tree)) {
        findings.push(stale(ERRORS));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree whose files have this text, with the pages that belong to it.
    fn tree(text: &str) -> Tree {
        let sources: Vec<_> = PAGES.iter().flat_map(|page| page.sources).chain([&MAKER]).collect();
        let mut tree = Tree::default();
        for path in sources {
            let (member, file) = path.split_once('/').unwrap();
            tree.crates.extend(Tree::of(member, &[(file, text)]).crates);
        }
        for page in PAGES {
            let stamp = stamp(&tree, page).0;
            tree.texts.insert(page.path.to_owned(), format!("# Page\n\n{stamp}\n"));
        }
        tree.texts.insert(ERRORS.to_owned(), errors::page(&tree));
        tree
    }

    fn stale(tree: &Tree) -> Vec<String> {
        check(tree).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn pages_of_the_files_as_they_are_are_fine() {
        assert_eq!(stale(&tree("const A: u8 = 1;")), Vec::<String>::new());
    }

    #[test]
    fn pages_of_changed_files_are_named() {
        let mut changed = tree("/// Another help.\nconst A: u8 = 1;");
        changed.texts = tree("const A: u8 = 1;").texts;
        let found = stale(&changed);
        assert_eq!(found.len(), PAGES.len(), "{found:?}");
        assert!(found.iter().any(|line| line.starts_with("docs/reference/command.md:1: ")), "{found:?}");
    }

    #[test]
    fn missing_pages_and_files_are_named() {
        let mut without = tree("");
        without.texts.remove(ERRORS);
        assert_eq!(stale(&without), ["docs/reference/errors.md:1: is missing or stale: run `cargo xtask docs`"]);
        without.crates.retain(|member| member.name != "cayenne-table");
        assert!(stale(&without).iter().any(|line| line.starts_with("cayenne-table/src/metric_list.rs:1: is gone")));
    }
}
