//! Ties `docs/format.md`, the truth about every byte on disk, to the files that define those bytes.
//!
//! The document carries a hash of them. Whoever changes one of the files is asked to read the document again, and states
//! by a new hash that it still says what the code does.

use std::path::Path;

use crate::tree::Fnv;
use crate::tree::{Finding, Tree};

const DOCUMENT: &str = "docs/format.md";

/// The Rust files that define bytes on disk. Their comments, layout and tests are not part of the hash.
const RUST_FILES: &[&str] = &[
    "cayenne-format/src/checksum.rs",
    "cayenne-format/src/codec.rs",
    "cayenne-format/src/commit_codec.rs",
    "cayenne-format/src/file.rs",
    "cayenne-format/src/frame.rs",
    "cayenne-format/src/manifest.rs",
    "cayenne-format/src/options.rs",
    "cayenne-format/src/path.rs",
    "cayenne-format/src/schema.rs",
    "cayenne-format/src/stats.rs",
    "cayenne-format/src/value.rs",
];

/// The tables of the metastore: every `.sql` file of this folder.
const SQL_FOLDER: &str = "cayenne-metastore/src/sql/";

/// The hash in the document must be the hash of the files.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let (hash, mut findings) = hash(tree);
    let expected = format!("<!-- sources: {hash} -->");
    let Some(document) = tree.texts.get(DOCUMENT) else {
        findings.push(Finding::new(DOCUMENT, 1, format!("is missing; it carries the line `{expected}`")));
        return findings;
    };
    let stated = (1..).zip(document.lines()).find(|(_, line)| line.trim_start().starts_with("<!-- sources:"));
    match stated {
        Some((_, line)) if line.trim() == expected => {}
        Some((number, _)) => {
            let message = format!(
                "the files that define the bytes have changed: compare this document with them, then write `{expected}`"
            );
            findings.push(Finding::new(DOCUMENT, number, message));
        }
        None => findings.push(Finding::new(DOCUMENT, 1, format!("needs the line `{expected}`"))),
    }
    findings
}

/// Returns the hash of all the files and a finding for each that is gone.
fn hash(tree: &Tree) -> (String, Vec<Finding>) {
    let mut findings = Vec::new();
    let mut fnv = Fnv::default();
    for path in RUST_FILES {
        match tree.source(path) {
            Some(source) => fnv.file(path, &source.shipped_words()),
            None => findings.push(Finding::new(
                path,
                1,
                "defines bytes on disk (xtask/src/tidy/format_hash.rs) but is gone",
            )),
        }
    }
    let is_table = |path: &str| path.starts_with(SQL_FOLDER) && Path::new(path).extension() == Some("sql".as_ref());
    let tables: Vec<_> = tree.texts.iter().filter(|(path, _)| is_table(path)).collect();
    if tables.is_empty() {
        findings.push(Finding::new(
            SQL_FOLDER,
            1,
            "holds no .sql file, but the tables of the metastore are bytes on disk",
        ));
    }
    for (path, text) in tables {
        fnv.file(path, &text.split_whitespace().collect::<Vec<_>>().join(" "));
    }
    (fnv.hex(), findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree with every listed file and a document that states `stated`.
    fn tree(frame: &str, stated: &str) -> Tree {
        let inside = |path: &&'static str| path.strip_prefix("cayenne-format/").unwrap();
        let text = |file: &'static str| {
            if file == "src/frame.rs" { (file, frame) } else { (file, "const A: u8 = 1;") }
        };
        let files: Vec<_> = RUST_FILES.iter().map(inside).map(text).collect();
        let mut tree = Tree::of("cayenne-format", &files);
        tree.texts.insert("cayenne-metastore/src/sql/tables.sql".to_owned(), "CREATE TABLE t (id)".to_owned());
        tree.texts.insert(DOCUMENT.to_owned(), format!("# Format\n<!-- sources: {stated} -->\n"));
        tree
    }

    fn stated(frame: &str) -> String {
        hash(&tree(frame, "")).0
    }

    #[test]
    fn document_with_the_hash_of_the_files_is_fine() {
        assert_eq!(check(&tree("const B: u8 = 2;", &stated("const B: u8 = 2;"))), []);
        assert_eq!(check(&tree("/// Why.\nconst B: u8\n    = 2;", &stated("const B: u8 = 2;"))), []);
    }

    #[test]
    fn changed_file_is_found_with_the_line_to_paste() {
        let findings = check(&tree("const B: u8 = 3;", &stated("const B: u8 = 2;")));
        let [finding] = findings.as_slice() else { panic!("{findings:?}") };
        let pasted = format!("<!-- sources: {} -->", stated("const B: u8 = 3;"));
        assert!(
            finding.to_string().starts_with("docs/format.md:2: ") && finding.message.contains(&pasted),
            "{finding}"
        );
    }

    #[test]
    fn changed_table_is_found() {
        let mut tree = tree("", &stated(""));
        assert_eq!(check(&tree), []);
        tree.texts.insert("cayenne-metastore/src/sql/tables.sql".to_owned(), "CREATE TABLE t (key)".to_owned());
        assert_eq!(check(&tree).len(), 1);
    }

    #[test]
    fn missing_files_line_and_document_are_found() {
        let mut tree = tree("", "");
        tree.texts.insert(DOCUMENT.to_owned(), "# Format\n".to_owned());
        assert_eq!(check(&tree).len(), 1);
        tree.texts.clear();
        assert_eq!(check(&tree).len(), 2);
        assert_eq!(check(&Tree::default()).len(), RUST_FILES.len() + 2);
    }
}
