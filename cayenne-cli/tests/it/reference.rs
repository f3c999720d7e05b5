//! The reference pages of the documentation. Their lists come from the code, and this test compares the pages with
//! them.
//!
//! `cargo xtask docs` sets `CAYENNE_WRITE_REFERENCE`; the test then writes the pages. The xtask adds the last line of a
//! page, which identifies the state of the source files of the page.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use cayenne_datafusion::SYSTEM_COLUMNS;
use cayenne_format::TABLE_OPTIONS;
use cayenne_table::METRICS;
use serde_json::Value;

use crate::database::Database;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference")
}

/// Invariant: a page is what the code generates now.
#[track_caller]
fn is_up_to_date(page: &str, title: &str, body: &str) {
    let made = format!("# {title}\n\n<!-- Made by `cargo xtask docs`: change the code, not this page. -->\n\n{body}");
    let path = folder().join(page);
    if std::env::var_os("CAYENNE_WRITE_REFERENCE").is_some() {
        std::fs::create_dir_all(folder()).unwrap();
        return std::fs::write(path, made).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    let found = found.split("\n<!-- sources:").next().unwrap_or_default();
    assert!(found == made, "docs/reference/{page} is not what the code says: run `cargo xtask docs`");
}

/// Returns the rows of a statement as JSON objects.
fn rows(database: &Database, sql: &str) -> Vec<Value> {
    let out = database.ok(&["sql", "--format", "ndjson", "-c", sql]);
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Returns a row of a Markdown table. A bar in a text is escaped, since it would begin another cell.
fn row(cells: &[&str]) -> String {
    format!("| {} |\n", cells.iter().map(|cell| cell.replace('|', "\\|")).collect::<Vec<_>>().join(" | "))
}

fn heading(columns: &[&str]) -> String {
    format!("{}{}\n", row(columns), "|---".repeat(columns.len()) + "|")
}

fn code(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("`{text}`") }
}

#[test]
fn options() {
    let database = Database::new();
    let mut body =
        "The options of a table are stored with it. [Table options](../guide/table-options.md) says how to set \
                    them.\n\n## Table options\n\n"
            .to_owned();
    body += &heading(&["Option", "Values", "Default", "Meaning"]);
    for option in TABLE_OPTIONS {
        body += &row(&[&code(option.name), option.values, &code(&option.default_value()), option.meaning]);
    }
    body += "\n## Settings that a session shows\n\n\
             They are chosen when a database is opened. `SHOW cayenne.durability` prints one.\n\n";
    body += &heading(&["Setting", "Meaning"]);
    let settings =
        "SELECT name, description FROM information_schema.df_settings WHERE name LIKE 'cayenne.%' ORDER BY name";
    for setting in rows(&database, settings) {
        body += &row(&[&code(setting["name"].as_str().unwrap()), setting["description"].as_str().unwrap()]);
    }
    is_up_to_date("options.md", "All options", &body);
}

/// Returns the help of a command. The variables are removed because their values would be part of it.
fn help(args: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cayenne"));
    for variable in ["CAYENNE_DB", "CAYENNE_METASTORE", "CAYENNE_DURABILITY"] {
        command.env_remove(variable);
    }
    let output = command.args(args).arg("--help").output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n") + "\n"
}

/// Returns the names in the list of commands, which ends at an empty line.
fn commands(help: &str) -> Vec<&str> {
    let list = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    list.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help").collect()
}

#[test]
fn command() {
    let all = help(&[]);
    let mut body = format!("[The `cayenne` command](../guide/command-line.md) shows its use.\n\n```text\n{all}```\n");
    let commands = commands(&all);
    assert!(commands.len() > 10, "{all}");
    for name in commands {
        write!(body, "\n## cayenne {name}\n\n```text\n{}```\n", help(&[name])).unwrap();
    }
    is_up_to_date("command.md", "All commands and flags", &body);
}

#[test]
fn system_tables() {
    let database = Database::with_table();
    let columns = "SELECT table_name AS t, column_name AS c, data_type AS d, is_nullable AS n FROM \
                   information_schema.columns WHERE table_schema = 'system' ORDER BY table_name, ordinal_position";
    let found = rows(&database, columns);
    let mut body = "`t$files`, `t$deletes`, `t$snapshots` and `t$compactions` have the columns of the system table of \
                    that name, and list one table `t`.\n"
        .to_owned();
    for column in &found {
        let text = |key: &str| column[key].as_str().unwrap();
        let listed = SYSTEM_COLUMNS.iter().find(|listed| (listed.table, listed.name) == (text("t"), text("c")));
        let meaning = listed.unwrap_or_else(|| panic!("SYSTEM_COLUMNS misses {column}")).meaning;
        let title = format!("\n## system.{}\n\n", text("t"));
        if !body.contains(&title) {
            body += &(title + &heading(&["Column", "Type", "NULL", "Meaning"]));
        }
        body += &row(&[&code(text("c")), &code(text("d")), &text("n").to_lowercase(), meaning]);
    }
    assert_eq!(found.len(), SYSTEM_COLUMNS.len(), "a listed column does not exist");
    is_up_to_date("system-tables.md", "System tables, column by column", &body);
}

#[test]
fn metrics() {
    let mut body =
        "`SELECT * FROM system.metrics` lists the metrics of a database; [Metrics](../metrics.md) says how to \
                    read them.\n"
            .to_owned();
    for (title, is_of_table) in [("Metrics of a table", true), ("Metrics of the database", false)] {
        body += &(format!("\n## {title}\n\n") + &heading(&["Name", "Labels", "Meaning"]));
        for metric in METRICS.iter().filter(|metric| metric.is_of_table == is_of_table) {
            body += &row(&[&code(metric.name), metric.labels, metric.meaning]);
        }
    }
    is_up_to_date("metrics.md", "All metrics", &body);
}

/// Invariant: each metric of the system table is in the list of metrics, with the right scope (table or database).
#[test]
fn every_metric_is_listed() {
    let database = Database::with_table();
    let found = rows(&database, "SELECT DISTINCT name, table_name IS NOT NULL AS of_table FROM system.metrics");
    let found: BTreeSet<_> =
        found.iter().map(|row| (row["name"].as_str().unwrap(), row["of_table"].as_bool().unwrap())).collect();
    let listed: BTreeSet<_> = METRICS.iter().map(|metric| (metric.name, metric.is_of_table)).collect();
    assert_eq!(found.difference(&listed).collect::<Vec<_>>(), Vec::<&(&str, bool)>::new());
    // The others appear with the first compaction pass or other background work.
    let of_work = |(name, _): &&&(&str, bool)| name.contains("_compaction_") || name.contains("_maintenance_");
    assert_eq!(listed.difference(&found).filter(|metric| !of_work(&metric)).count(), 0);
}
