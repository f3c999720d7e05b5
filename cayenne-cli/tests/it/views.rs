//! Views: stored in the database, listed, described, exported and imported.

use crate::database::Database;

fn with_view() -> Database {
    let database = Database::with_table();
    database.ok(&["sql", "-c", "CREATE VIEW v (n) AS SELECT upper(name) FROM t WHERE id > 1"]);
    database
}

#[test]
fn a_view_outlives_the_command_and_is_listed_and_described() {
    let database = with_view();
    assert_eq!(database.query("SELECT count(*), max(n) FROM v"), "2,TWO\n");
    let listed = database.ok(&["--format", "csv", "tables"]);
    assert!(listed.ends_with("\nv,,,,,view\n"), "{listed}");
    let described = database.describe("v");
    assert_eq!(described["kind"], "view");
    assert_eq!(described["statement"], "CREATE VIEW v (n) AS SELECT upper(name) FROM t WHERE id > 1");
    assert_eq!(described["columns"][0]["name"], "n");
    let text = database.ok(&["--format", "csv", "describe", "v"]);
    assert!(text.contains("statement,CREATE VIEW v (n) AS"), "{text}");
    database.ok(&["sql", "-c", "CREATE TEMPORARY VIEW passing AS SELECT 1 AS one; SELECT * FROM passing"]);
    database.run(&["sql", "-c", "SELECT * FROM passing"]).failed(1, "sql-plan");
    database.ok(&["sql", "-c", "DROP VIEW v"]);
    database.run(&["describe", "v"]).failed(1, "no-table");
}

#[test]
fn a_view_is_no_table_to_the_other_commands() {
    let database = with_view();
    let source = database.write("more.csv", "n\nx\n");
    let before = database.files_on_disk();
    database.run(&["load", &source, "--into", "v"]).failed(1, "view-exists");
    database.run(&["sql", "-c", "INSERT INTO v VALUES ('x')"]).failed(1, "not-a-table");
    database.run(&["sql", "-c", "DROP TABLE v"]).failed(1, "not-a-table");
    assert_eq!(database.files_on_disk(), before);
    database.ok(&["sql", "-c", "CREATE OR REPLACE VIEW v AS SELECT id FROM t"]);
    database.run(&["sql", "--read-only", "-c", "CREATE VIEW w AS SELECT 1 AS one"]).failed(1, "read-only");
    database.run(&["sql", "--read-only", "-c", "DROP VIEW v"]).failed(1, "read-only");
    assert_eq!(database.query("SELECT count(*) FROM v"), "3\n");
}

#[test]
fn the_definition_of_a_view_goes_elsewhere() {
    let (from, to) = (with_view(), Database::with_table());
    let slice = from.path("slice").to_str().unwrap().to_owned();
    from.ok(&["export", "v", "--to", &slice]);
    from.run(&["export", "v", "--to", &slice]).failed(1, "folder-not-empty");
    to.ok(&["import", &slice]);
    assert_eq!(to.query("SELECT count(*) FROM v"), "2\n");
    to.run(&["import", &slice]).failed(1, "view-exists");
    to.run(&["import", &slice, "--into", "t", "--replace"]).failed(1, "table-exists");
    to.ok(&["import", &slice, "--replace"]);
    to.ok(&["import", &slice, "--into", "again"]);
    assert_eq!(to.describe("again")["statement"], "CREATE VIEW again (n) AS SELECT upper(name) FROM t WHERE id > 1");
    // A table does not replace a view.
    let table = from.path("table").to_str().unwrap().to_owned();
    from.ok(&["export", "t", "--to", &table]);
    to.run(&["import", &table, "--into", "v", "--replace"]).failed(1, "view-exists");
    assert_eq!(to.query("SELECT count(*) FROM v UNION ALL SELECT count(*) FROM again"), "2\n2\n");
    to.ok(&["check", "--deep"]);
}

#[test]
fn check_names_a_view_that_cannot_be_read() {
    let database = with_view();
    let sound = database.run(&["check"]);
    assert!(sound.code == Some(0) && !sound.err.contains("view"), "{sound:?}");
    database.ok(&["sql", "-c", "DROP TABLE t"]);
    let ran = database.run(&["check"]);
    assert_eq!(ran.code, Some(0), "it is no damage: {ran:?}");
    assert!(ran.err.contains("view v cannot be read: ") && ran.err.contains("public.t"), "{ran:?}");
    let error = database.run(&["sql", "-c", "SELECT * FROM v"]).failed(1, "view-broken");
    assert!(error.contains("view: v") && error.contains("public.t"), "{error}");
}

#[test]
fn views_are_lost_with_the_metastore_and_tables_are_not() {
    let database = with_view();
    std::fs::remove_file(database.root().join("metadata").join("cayenne.db")).unwrap();
    let ran = database.run(&["recover", "--from-manifest"]);
    assert!(ran.err.contains("the metastore has 1 table\n"), "{ran:?}");
    assert_eq!(database.query("SELECT count(*) FROM t"), "3\n");
    database.run(&["sql", "-c", "SELECT * FROM v"]).failed(1, "sql-plan");
}

#[test]
fn views_work_with_the_other_metastore() {
    let database = Database::new();
    let sql = "CREATE TABLE t AS VALUES (1), (2); CREATE VIEW v AS SELECT column1 AS a FROM t";
    let ran = database.run(&["--metastore", "turso", "sql", "-c", sql]);
    if ran.code == Some(2) {
        println!("SKIPPED: this build has no other metastore");
        return;
    }
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let count = database.ok(&["--metastore", "turso", "--format", "csv", "sql", "-c", "SELECT count(*) AS n FROM v"]);
    assert_eq!(count, "n\n2\n");
}
