//! Rules about files: how long, how they begin, what they are called, and that the compiler sees them.

use crate::tree::{Crate, Finding, Source, Tree};

/// Past this many lines before its tests, a file holds a second subject.
const LINES_MAX: usize = 800;

/// Names that say nothing about what a module owns.
const BANNED: &[&str] = &[
    "util",
    "utils",
    "helper",
    "helpers",
    "common",
    "misc",
    "manager",
    "managers",
    "handler",
    "handlers",
    "context",
    "core",
    "impl",
    "impls",
    "types",
    "constants",
    "v2",
];

/// A file must stay below the wall.
pub(super) fn walls(tree: &Tree) -> Vec<Finding> {
    let long = tree.sources().filter(|source| source.lines_before_tests() > LINES_MAX);
    let finding = |source: &Source| {
        let lines = source.lines_before_tests();
        let message = format!("{lines} lines before the tests, at most {LINES_MAX}: look for the second subject in it");
        Finding::new(source.path(), LINES_MAX + 1, message)
    };
    long.map(finding).collect()
}

/// A file must begin with what it owns; `lib.rs` with the README of its crate.
pub(super) fn module_docs(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in tree.sources() {
        let first = source.text().lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
        let is_library = source.path().ends_with("/src/lib.rs");
        let readme = first.starts_with("#![doc = include_str!");
        if is_library && !readme {
            let message = "begins with `#![doc = include_str!(\"../README.md\")]`";
            findings.push(Finding::new(source.path(), 1, message));
        } else if !is_library && !first.starts_with("//!") {
            findings.push(Finding::new(source.path(), 1, "begins with `//!`: what this file owns"));
        }
    }
    findings
}

/// A module must be named after what it owns.
pub(super) fn banned_names(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for member in &tree.crates {
        for source in &member.sources {
            let inside = source.path().strip_prefix(&member.folder).unwrap_or(source.path());
            let parts = inside.split('/').map(|part| part.strip_suffix(".rs").unwrap_or(part));
            let files = parts.filter(|part| BANNED.contains(part)).map(|part| (1, part));
            let inline = source.code().filter_map(|(line, code)| Some((line, inline_module(code)?)));
            let inline = inline.filter(|(_, name)| BANNED.contains(name));
            findings.extend(files.chain(inline).map(|(line, name)| {
                Finding::new(source.path(), line, format!("a module called `{name}` says nothing about what it owns"))
            }));
        }
    }
    findings
}

/// The name in `mod name {`.
fn inline_module(code: &str) -> Option<&str> {
    let mut words = code.trim_end().strip_suffix('{')?.split_whitespace().rev();
    let name = words.next()?;
    (words.next()? == "mod").then_some(name)
}

/// A file that no `mod` names is never compiled, and its tests never run.
pub(super) fn undeclared(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for member in &tree.crates {
        for source in &member.sources {
            let Some(module) = Module::of(member, source) else {
                continue;
            };
            let parents = module.parents();
            if !member
                .sources
                .iter()
                .any(|file| parents.contains(&file.path().to_owned()) && declares(file, module.name))
            {
                let message =
                    format!("is never compiled: `mod {};` is missing in {}", module.name, parents.join(" or "));
                findings.push(Finding::new(source.path(), 1, message));
            }
        }
    }
    findings
}

/// Where a file stands in the module tree of its crate.
struct Module<'a> {
    name: &'a str,
    /// The folder of the crate root: `…/src` or `…/tests/it`.
    base: String,
    /// The folder below `base` that holds the module.
    folder: &'a str,
}

impl<'a> Module<'a> {
    /// None for a crate root, and for what Cargo finds by itself: programs, examples, benchmarks.
    fn of(member: &Crate, source: &'a Source) -> Option<Self> {
        let bases = [format!("{}/src", member.folder), format!("{}/tests/it", member.folder)];
        let base = bases.into_iter().find(|base| source.path().starts_with(&format!("{base}/")))?;
        let inside = source.path().get(base.len() + 1..)?.strip_suffix(".rs")?;
        if ["lib", "main"].contains(&inside) || inside.starts_with("bin/") {
            return None;
        }
        let inside = inside.strip_suffix("/mod").unwrap_or(inside);
        let (folder, name) = inside.rsplit_once('/').unwrap_or(("", inside));
        Some(Self { name, base, folder })
    }

    /// The files that may declare it.
    fn parents(&self) -> [String; 2] {
        let Self { base, folder, .. } = self;
        if folder.is_empty() {
            [format!("{base}/lib.rs"), format!("{base}/main.rs")]
        } else {
            [format!("{base}/{folder}.rs"), format!("{base}/{folder}/mod.rs")]
        }
    }
}

/// Whether the file has a `mod name;`.
fn declares(file: &Source, name: &str) -> bool {
    file.code().any(|(_, code)| {
        let mut words = code.trim_end().strip_suffix(';').unwrap_or_default().split_whitespace().rev();
        words.next() == Some(name) && words.next() == Some("mod")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(findings: &[Finding]) -> Vec<String> {
        findings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn wall_counts_lines_before_the_tests() {
        let wall = "x;\n".repeat(LINES_MAX);
        let tests = "#[cfg(test)]\nmod tests {\n".to_owned() + &"x;\n".repeat(500) + "}\n";
        let fine = Tree::of("a", &[("src/b.rs", &(wall.clone() + &tests))]);
        assert_eq!(walls(&fine), []);
        let long = Tree::of("a", &[("src/b.rs", &(wall + "x;\n" + &tests))]);
        assert_eq!(messages(&walls(&long)).len(), 1);
    }

    #[test]
    fn file_without_a_first_sentence_is_found() {
        let fine = [("src/lib.rs", "#![doc = include_str!(\"../README.md\")]\n"), ("src/b.rs", "\n//! Owns b.\n")];
        assert_eq!(module_docs(&Tree::of("a", &fine)), []);
        let bare = [("src/lib.rs", "//! Owns a.\n"), ("src/b.rs", "// Owns b.\n"), ("tests/it/main.rs", "")];
        assert_eq!(module_docs(&Tree::of("a", &bare)).len(), 3);
    }

    #[test]
    fn names_that_say_nothing_are_found() {
        let fine = Tree::of("a", &[("src/utility_bill.rs", "mod core_sample {\n}\n// mod util {\n")]);
        assert_eq!(banned_names(&fine), []);
        let banned =
            Tree::of("a", &[("src/util.rs", ""), ("src/types/b.rs", ""), ("src/c.rs", "\npub(crate) mod misc {\n")]);
        let places: Vec<_> = banned_names(&banned).into_iter().map(|finding| (finding.file, finding.line)).collect();
        let expected = [("a/src/util.rs", 1), ("a/src/types/b.rs", 1), ("a/src/c.rs", 2)];
        assert_eq!(places, expected.map(|(file, line)| (file.to_owned(), line)));
    }

    #[test]
    fn declared_files_are_fine() {
        let files = [
            ("src/lib.rs", "mod b;\n#[cfg(test)] mod tests;\n"),
            ("src/b.rs", "pub(crate) mod c;\n"),
            ("src/b/c.rs", ""),
            ("src/tests.rs", ""),
            ("src/bin/tool.rs", ""),
            ("tests/it/main.rs", "mod append;\nmod crash;\n"),
            ("tests/it/append.rs", ""),
            ("tests/it/crash/mod.rs", "mod power_cut;\n"),
            ("tests/it/crash/power_cut.rs", ""),
            ("examples/tour.rs", ""),
        ];
        assert_eq!(undeclared(&Tree::of("a", &files)), []);
    }

    #[test]
    fn undeclared_files_are_found() {
        let files = [
            ("src/main.rs", "mod b;\n// mod forgotten;\n"),
            ("src/b.rs", ""),
            ("src/b/c.rs", ""),
            ("src/forgotten.rs", ""),
            ("tests/it/main.rs", "use append;\nmod append_more;\n"),
            ("tests/it/append.rs", ""),
            ("tests/it/append_more.rs", ""),
        ];
        let found = undeclared(&Tree::of("a", &files));
        let found: Vec<_> = found.iter().map(|finding| finding.file.as_str()).collect();
        assert_eq!(found, ["a/src/b/c.rs", "a/src/forgotten.rs", "a/tests/it/append.rs"]);
    }
}
