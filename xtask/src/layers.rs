//! Which crate may use which, and the check that the manifests agree.

use cargo_metadata::DependencyKind;

use crate::tree::{Crate, Finding, Need, Tree};

/// Who may use whom: a crate may depend only on the crates named in its row.
///
/// The rows stand in the order of the picture in the design: a crate uses only what is above it, and nothing runs
/// sideways among deletes, compaction, metastore and storage.
const LAYERS: &[(&str, &[&str])] = &[
    ("cayenne-format", &[]),
    ("cayenne-deletes", &["cayenne-format"]),
    ("cayenne-compaction", &[]),
    ("cayenne-metastore", &["cayenne-format"]),
    ("cayenne-storage", &["cayenne-format"]),
    (
        "cayenne-table",
        &["cayenne-format", "cayenne-deletes", "cayenne-compaction", "cayenne-metastore", "cayenne-storage"],
    ),
    ("cayenne-datafusion", ENGINE_PARTS),
    ("cayenne-cli", ENGINE),
    ("cayenne-testkit", &["cayenne-format", "cayenne-metastore", "cayenne-storage"]),
    ("cayenne-benches", ENGINE),
    ("xtask", &[]),
];

/// Everything a program on top of the engine may use.
const ENGINE: &[&str] = &[
    "cayenne-format",
    "cayenne-deletes",
    "cayenne-compaction",
    "cayenne-metastore",
    "cayenne-storage",
    "cayenne-table",
    "cayenne-datafusion",
];

/// What the SQL integration stands on.
const ENGINE_PARTS: &[&str] = &[
    "cayenne-format",
    "cayenne-deletes",
    "cayenne-compaction",
    "cayenne-metastore",
    "cayenne-storage",
    "cayenne-table",
];

/// What tests share. A dev-dependency of any crate, and nothing else.
const FOR_TESTS: &[&str] = &["cayenne-testkit"];

/// Compares [`LAYERS`] with the manifests, both ways.
pub(crate) fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = missing_rows(tree);
    for member in &tree.crates {
        let Some((_, allowed)) = LAYERS.iter().find(|(name, _)| *name == member.name) else {
            continue;
        };
        let forbidden = member.needs.iter().filter(|need| !may_use(allowed, need));
        findings.extend(forbidden.map(|need| forbidden_edge(tree, member, need)));
    }
    findings
}

/// A crate the table does not know, or a row whose crate is gone.
fn missing_rows(tree: &Tree) -> Vec<Finding> {
    let known = |name: &str| LAYERS.iter().any(|(row, _)| *row == name);
    let exists = |row: &str| tree.crates.iter().any(|member| member.name == row);
    let unknown = tree.crates.iter().filter(|member| !known(&member.name)).map(|member| {
        Finding::new(&member.manifest(), 1, format!("`{}` has no row in LAYERS (xtask/src/layers.rs)", member.name))
    });
    let stale = LAYERS.iter().filter(|(row, _)| !exists(row));
    let stale = stale
        .map(|(row, _)| Finding::new("xtask/src/layers.rs", 1, format!("LAYERS has a row for `{row}`, which is gone")));
    unknown.chain(stale).collect()
}

/// Dev-dependencies follow no layers, because nothing that ships is built from them; but what stands beside the layers
/// is not used by tests either, except for what exists for them.
fn may_use(allowed: &[&str], need: &Need) -> bool {
    let name = need.name.as_str();
    match need.kind {
        DependencyKind::Development => FOR_TESTS.contains(&name) || ENGINE.contains(&name),
        _ => allowed.contains(&name),
    }
}

fn forbidden_edge(tree: &Tree, member: &Crate, need: &Need) -> Finding {
    let manifest = member.manifest();
    let declared = tree.texts.get(&manifest).and_then(|text| {
        text.lines().position(|line| line.trim_start().trim_start_matches('"').starts_with(&need.name))
    });
    let message = format!("`{}` may not depend on `{}`: LAYERS (xtask/src/layers.rs)", member.name, need.name);
    Finding::new(&manifest, declared.unwrap_or(0) + 1, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The workspace as [`LAYERS`] describes it, with one more edge.
    fn with_edge(user: &str, name: &str, kind: DependencyKind) -> Tree {
        let mut tree = Tree::default();
        for (name, _) in LAYERS {
            tree.crates.push(Crate { name: (*name).to_owned(), folder: (*name).to_owned(), ..Crate::default() });
        }
        let member = tree.crates.iter_mut().find(|member| member.name == user).unwrap();
        member.needs.push(Need { name: name.to_owned(), kind });
        let text = format!("[package]\nname = \"{user}\"\n\n[dependencies]\n{name}.workspace = true\n");
        tree.texts.insert(member.manifest(), text);
        tree
    }

    fn found(user: &str, name: &str, kind: DependencyKind) -> bool {
        !check(&with_edge(user, name, kind)).is_empty()
    }

    #[test]
    fn edge_upwards_is_fine() {
        assert!(!found("cayenne-table", "cayenne-storage", DependencyKind::Normal));
        assert!(!found("cayenne-cli", "cayenne-format", DependencyKind::Normal));
    }

    #[test]
    fn edge_sideways_or_downwards_is_found_with_its_line() {
        assert!(found("cayenne-storage", "cayenne-metastore", DependencyKind::Normal));
        assert!(found("cayenne-format", "cayenne-table", DependencyKind::Build));
        let findings = check(&with_edge("cayenne-metastore", "cayenne-storage", DependencyKind::Normal));
        let expected = "cayenne-metastore/Cargo.toml:5: `cayenne-metastore` may not depend on `cayenne-storage`: \
                        LAYERS (xtask/src/layers.rs)";
        assert_eq!(findings.iter().map(ToString::to_string).collect::<Vec<_>>(), [expected]);
    }

    #[test]
    fn testkit_serves_tests_only() {
        assert!(!found("cayenne-format", "cayenne-testkit", DependencyKind::Development));
        assert!(found("cayenne-benches", "cayenne-testkit", DependencyKind::Normal));
    }

    #[test]
    fn nothing_depends_on_what_stands_beside() {
        assert!(found("cayenne-cli", "cayenne-benches", DependencyKind::Development));
        assert!(found("cayenne-cli", "xtask", DependencyKind::Normal));
        assert!(found("xtask", "cayenne-format", DependencyKind::Normal));
    }

    #[test]
    fn crate_without_a_row_and_row_without_a_crate_are_found() {
        let mut tree = with_edge("cayenne-table", "cayenne-format", DependencyKind::Normal);
        assert!(check(&tree).is_empty());
        let last = tree.crates.last_mut().unwrap();
        last.name = "cayenne-new".to_owned();
        assert_eq!(check(&tree).len(), 2);
    }
}
