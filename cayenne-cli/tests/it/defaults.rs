//! Column defaults: how the command shows and keeps them.

use crate::database::Database;

#[test]
fn defaults_are_described_exported_imported_and_recovered() {
    let database = Database::new();
    database.ok(&["sql", "-c", "CREATE TABLE t (id BIGINT, n INT NOT NULL DEFAULT 6 + 1, at TIMESTAMP DEFAULT now())"]);
    let defaults = |database: &Database, table: &str| {
        let described = database.describe(table);
        let columns = described["columns"].as_array().unwrap().iter();
        columns.map(|column| column["default"].as_str().unwrap_or("none").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(defaults(&database, "t"), ["none", "(6 + 1)", "now()"]);
    assert!(database.ok(&["describe", "t"]).contains("(6 + 1)"));
    let slice = database.path("slice").display().to_string();
    database.ok(&["export", "t", "--to", &slice]);
    database.ok(&["import", &slice, "--into", "u"]);
    std::fs::remove_dir_all(database.root().join("metadata")).unwrap();
    database.ok(&["recover", "--from-manifest"]);
    for table in ["t", "u"] {
        assert_eq!(defaults(&database, table), ["none", "(6 + 1)", "now()"], "{table}");
        database.ok(&["sql", "-c", &format!("INSERT INTO {table} (id) VALUES (1)")]);
        assert_eq!(database.query(&format!("SELECT id, n, at IS NULL FROM {table}")).trim(), "1,7,false");
    }
}

#[test]
fn a_file_that_lacks_a_column_has_nulls_in_it_and_no_default() {
    let database = Database::new();
    database.ok(&["sql", "-c", "CREATE TABLE t (id BIGINT, n INT DEFAULT 7)"]);
    database.ok(&["sql", "-c", "CREATE TABLE u (id BIGINT, n INT NOT NULL DEFAULT 7)"]);
    let file = database.write("ids.csv", "id\n1\n");
    database.ok(&["load", &file, "--into", "t", "--append"]);
    assert_eq!(database.query("SELECT id, n IS NULL FROM t").trim(), "1,true");
    let error = database.run(&["load", &file, "--into", "u", "--append"]).failed(1, "missing-column");
    assert!(error.contains('u') && error.contains('n'), "{error}");
    let nulls = database.write("nulls.csv", "id,n\n1,\n");
    let error = database.run(&["load", &nulls, "--into", "u", "--append"]).failed(1, "null-in-column");
    assert!(error.contains("table: u") && error.contains("column: n"), "{error}");
    assert_eq!(database.query("SELECT count(*) FROM u").trim(), "0");
}
