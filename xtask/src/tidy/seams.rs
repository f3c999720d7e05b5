//! Some things happen in few places: SQL text, and starting tasks and threads.
//!
//! Clippy's `disallowed-methods` guards the same seams call by call; this list of files cannot be stepped over with an
//! attribute.

use crate::tree::{Crate, Finding, Tree};

/// The crate that speaks SQL to a database, and the folder where it keeps the text.
const SQL_CRATE: &str = "cayenne-metastore";
const SQL_FOLDER: &str = "cayenne-metastore/src/sql/";

/// How SQL text is recognised in a string. SQL is written in capitals here, so prose does not match.
const SQL: &[&str] = &[
    "ALTER TABLE",
    "CREATE INDEX",
    "CREATE TABLE",
    "CREATE UNIQUE INDEX",
    "DELETE FROM",
    "DROP TABLE",
    "INSERT INTO",
    "INSERT OR ",
    "SELECT ",
    "UPDATE ",
];

/// The files that may start a task or a thread; each owns what it starts and stops it.
const SPAWNING_FILES: &[&str] = &[
    "cayenne-datafusion/src/blocking.rs",
    "cayenne-metastore/src/sql/writer.rs",
    "cayenne-storage/src/task.rs",
    "cayenne-table/src/task.rs",
];

/// Programs own their process and may start what they like.
const SPAWNING_CRATES: &[&str] = &["cayenne-benches", "cayenne-cli", "cayenne-testkit", "xtask"];

const SPAWNS: &[&str] = &["tokio::spawn", "tokio::task::spawn", "spawn_blocking(", "thread::spawn", "thread::Builder"];

/// Hostile names look like SQL.
const CONFORMANCE: &str = "cayenne-metastore/src/conformance/";

/// The SQL text of the metastore must be in its folder, where it can be read side by side.
pub(super) fn sql(tree: &Tree) -> Vec<Finding> {
    let metastore = tree.crates.iter().filter(|member| member.name == SQL_CRATE);
    let elsewhere = metastore
        .flat_map(|member| &member.sources)
        .filter(|source| !source.path().starts_with(SQL_FOLDER) && !source.path().starts_with(CONFORMANCE));
    let mut findings = Vec::new();
    for source in elsewhere {
        let found = source.shipped_literals().filter(|literal| SQL.iter().any(|sql| literal.text.contains(sql)));
        findings.extend(
            found.map(|literal| {
                Finding::new(source.path(), literal.line, format!("SQL text belongs under {SQL_FOLDER}"))
            }),
        );
    }
    findings
}

/// Tasks and threads must be started by the few files that own and stop them. Tests may start any.
pub(super) fn spawns(tree: &Tree) -> Vec<Finding> {
    let bound = |member: &&Crate| !SPAWNING_CRATES.contains(&member.name.as_str());
    let sources = tree.crates.iter().filter(bound).flat_map(|member| &member.sources);
    let mut findings = Vec::new();
    for source in sources.filter(|source| !SPAWNING_FILES.contains(&source.path())) {
        for (line, code) in source.shipped_code() {
            if let Some(spawn) = SPAWNS.iter().find(|spawn| code.contains(*spawn)) {
                let message =
                    format!("`{spawn}` outside the files that own tasks (xtask/src/tidy/seams.rs lists them)");
                findings.push(Finding::new(source.path(), line, message));
            }
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sql_outside_its_folder_is_found() {
        let text = "let a = 1;\nlet sql = \"\n  SELECT id FROM t\";\nconst B: &str = r#\"CREATE TABLE t (id)\"#;\n";
        let findings = sql(&Tree::of("cayenne-metastore", &[("src/sqlite/read.rs", text)]));
        assert_eq!(findings.iter().map(|finding| finding.line).collect::<Vec<_>>(), [2, 4]);
    }

    #[test]
    fn sql_in_its_folder_in_tests_in_comments_and_in_other_crates_is_fine() {
        let text = "const A: &str = \"DELETE FROM t\";\n";
        let tests = "// SELECT 1\nlet a = \"select the rows\";\n#[cfg(test)]\nmod tests {\n    \"DROP TABLE t\"\n}\n";
        let files = [("src/sql/ddl.rs", text), ("tests/it/damage.rs", text), ("src/memory.rs", tests)];
        assert_eq!(sql(&Tree::of("cayenne-metastore", &files)), []);
        assert_eq!(sql(&Tree::of("cayenne-cli", &[("src/main.rs", text)])), []);
    }

    #[test]
    fn task_started_elsewhere_is_found() {
        let text = "fn a() {\n    tokio::spawn(b);\n}\nuse tokio::task::spawn_blocking(c);\n";
        assert_eq!(spawns(&Tree::of("cayenne-table", &[("src/table.rs", text)])).len(), 2);
        let thread = "std::thread::Builder::new().name(name).spawn(work)";
        assert_eq!(spawns(&Tree::of("cayenne-storage", &[("src/read.rs", thread)])).len(), 1);
    }

    #[test]
    fn owners_programs_and_tests_may_start_tasks() {
        let text = "std::thread::spawn(work);\n";
        assert_eq!(spawns(&Tree::of("cayenne-storage", &[("src/task.rs", text), ("tests/it/race.rs", text)])), []);
        assert_eq!(spawns(&Tree::of("cayenne-cli", &[("src/main.rs", text)])), []);
        let mentions =
            "// tokio::spawn\nlet a = \"thread::spawn\";\n#[cfg(test)]\nmod tests {\n    tokio::spawn(a);\n}\n";
        assert_eq!(spawns(&Tree::of("cayenne-table", &[("src/table.rs", mentions)])), []);
    }
}
