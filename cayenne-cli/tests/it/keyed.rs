//! Tables with a primary key: load, describe, export and import, and maintenance.

use crate::database::Database;

const ALL: &str = "SELECT id, name FROM t WHERE id < 100 ORDER BY id";

/// Writes two files with duplicate keys, within one file and across both.
fn sources(database: &Database) -> [String; 2] {
    let first = database.write("a.csv", "id,name\n1,one\n2,two\n2,deux\n3,three\n");
    [first, database.write("b.csv", "id,name\n3,drei\n4,four\n4,vier\n")]
}

/// Creates a table whose rows are all in data files, or all inline, after changes of every kind that hides rows.
/// Besides the rows of the sources it has forty unchanged rows: with much of a file hidden, `sql` may or may not
/// compact it.
fn changed_table(inline: bool) -> Database {
    let database = Database::new();
    let [a, b] = sources(&database).map(|source| {
        let path = std::path::Path::new(&source);
        let from = if path.ends_with("a.csv") { 100 } else { 120 };
        let more = (from..from + 20).map(|id| format!("{id},more")).collect::<Vec<_>>().join("\n");
        let name = format!("more-{}", path.file_name().unwrap().to_str().unwrap());
        database.write(&name, &(std::fs::read_to_string(path).unwrap() + &more))
    });
    let option = if inline { "inline_max_rows=1000" } else { "inline_max_rows=0" };
    database.ok(&["load", &a, "--into", "t", "--primary-key", "id", "--option", option]);
    database.ok(&["load", &b, "--into", "t", "--upsert"]);
    database.ok(&["sql", "-c", "UPDATE t SET name = 'eins' WHERE id = 1; DELETE FROM t WHERE id = 2"]);
    database
}

const CHANGED: &str = "1,eins\n3,drei\n4,vier\n";

#[test]
fn a_key_is_named_when_the_table_is_made() {
    let database = Database::new();
    let source = database.write("t.csv", "id,\"a, b\",part\n1,x,1\n1,y,1\n2,x,2\n1,x,3\n");
    for (table, columns, key, key_columns, rows) in [
        ("one", "id", "id", 1, 2),
        ("several", "id, part", "id, part", 2, 3),
        ("in_brackets", "(part,id)", "part, id", 2, 3),
        ("quoted", "\"id\", \"a, b\"", "id, \"a, b\"", 2, 3),
        ("all", "id,\"a, b\",part", "id, \"a, b\", part", 3, 4),
    ] {
        database.ok(&["load", &source, "--into", table, "--primary-key", columns]);
        let described = database.describe(table);
        assert_eq!((&described["options"]["primary_key"], &described["rows"]), (&key.into(), &rows.into()), "{table}");
        let columns = described["columns"].as_array().unwrap().iter();
        assert_eq!(columns.filter(|column| column["nullable"] == false).count(), key_columns, "{described}");
    }
}

#[test]
fn columns_that_cannot_be_a_key_make_no_table() {
    let database = Database::new();
    let source = database.write("t.csv", "id,name\n1,one\n,none\n");
    let lists = database.write("l.ndjson", "{\"id\":[1],\"name\":\"x\"}\n");
    for (source, columns, code) in [
        (&source, "nope", "invalid-primary-key"),
        (&source, "name, name", "invalid-primary-key"),
        (&source, "Name", "invalid-primary-key"),
        (&lists, "id", "invalid-primary-key"),
        (&source, "id", "null-in-column"),
        (&source, "name, id", "null-in-column"),
    ] {
        let error = database.run(&["load", source, "--into", "t", "--primary-key", columns]).failed(1, code);
        assert!(error.contains("column: "), "{columns}: {error}");
    }
    for columns in ["name,", "\"name", ",name"] {
        assert_eq!(
            database.run(&["load", &source, "--into", "t", "--primary-key", columns]).code,
            Some(1),
            "{columns}"
        );
    }
    assert_eq!(database.ok(&["--format", "csv", "tables"]).lines().count(), 1, "no table was made");
    assert!(database.data_files().is_empty());
}

#[test]
fn the_last_row_of_a_key_counts_within_a_file_and_across_files() {
    for option in ["inline_max_rows=0", "inline_max_rows=1000"] {
        let database = Database::new();
        let [a, b] = sources(&database);
        let load = |sources: &[&str], how: &[&str]| {
            let ran = database.run(&[&["load"], sources, &["--into", "t"], how].concat());
            assert_eq!(ran.code, Some(0), "{ran:?}");
            ran.err
        };
        let made = load(&[&a, &b], &["--primary-key", "id", "--option", option]);
        assert!(made.contains("\nloaded 4 rows into t "), "{made}");
        let both = "1,one\n2,deux\n3,drei\n4,vier\n";
        assert_eq!(database.query(ALL), both);
        // The other order, and rows that exist already.
        load(&[&b, &a], &["--append"]);
        assert_eq!(database.query(ALL), "1,one\n2,deux\n3,three\n4,vier\n");
        load(&[&b], &["--upsert"]);
        assert_eq!(database.query(ALL), both);
        load(&[&b], &["--replace"]);
        assert_eq!(database.query(ALL), "3,drei\n4,vier\n");
        load(&[&a], &["--upsert", "--primary-key", "id"]);
        assert_eq!(database.query(ALL), "1,one\n2,deux\n3,three\n4,vier\n");
        assert_eq!(database.query("SELECT count(*), count(DISTINCT id) FROM t"), "4,4\n");
        assert_eq!(database.query("SELECT name FROM t WHERE id = 3"), "three\n");
        database.ok(&["check", "--deep"]);
    }
}

/// `on_conflict` decides for `--append`; `--upsert` overrides it.
#[test]
fn the_table_says_what_an_append_does_with_keys_that_exist() {
    for (rule, appended) in [("drop", "1,one\n2,two\n3,three\n4,four\n"), ("error", "1,one\n2,deux\n")] {
        let database = Database::new();
        let [a, b] = sources(&database);
        let first = database.write("first.csv", "id,name\n1,one\n2,deux\n");
        let source = if rule == "drop" { &a } else { &first };
        let option = format!("on_conflict={rule}");
        database.ok(&["load", source, "--into", "t", "--primary-key", "id", "--option", &option]);
        assert_eq!(database.describe("t")["options"]["on_conflict"], rule);
        let ran = database.run(&["load", &b, "--into", "t", "--append"]);
        if rule == "error" {
            ran.failed(1, "duplicate-key");
            database.run(&["load", &first, "--into", "t", "--append"]).failed(1, "duplicate-key");
            database
                .run(&["load", &b, "--into", "u", "--primary-key", "id", "--option", &option])
                .failed(1, "duplicate-key");
        } else {
            assert_eq!(ran.code, Some(0), "{ran:?}");
        }
        assert_eq!(database.query(ALL), appended);
        database.ok(&["load", &b, "--into", "t", "--upsert"]);
        assert_eq!(database.query("SELECT name FROM t WHERE id IN (3, 4) ORDER BY id"), "drei\nvier\n");
    }
}

#[test]
fn rows_take_the_place_of_others_only_where_keys_are_known() {
    let database = Database::with_table();
    let [a, _] = sources(&database);
    let error = database.run(&["load", &a, "--into", "t", "--upsert"]).failed(1, "no-primary-key");
    assert!(error.contains("--append"), "{error}");
    let error = database.run(&["load", &a, "--into", "new", "--upsert"]).failed(1, "no-primary-key");
    assert!(error.contains("--primary-key"), "{error}");
    database.run(&["describe", "new"]).failed(1, "no-table");
    database.ok(&["load", &a, "--into", "new", "--upsert", "--primary-key", "id"]);
    for (table, found) in [("t", "none"), ("new", "id")] {
        let other = ["load", &a, "--into", table, "--append", "--primary-key", "name"];
        let error = database.run(&other).failed(1, "other-key");
        assert!(error.contains("declared: name") && error.contains(&format!("found: {found}")), "{error}");
    }
    let none = ["load", &a, "--into", "blind", "--primary-key", "id", "--option", "pk_conflict_detection=none"];
    database.ok(&none);
    assert_eq!(database.query("SELECT count(*), count(DISTINCT id) FROM blind"), "4,3\n");
    database.run(&["load", &a, "--into", "blind", "--upsert"]).failed(1, "no-primary-key");
    assert_eq!(database.query("SELECT count(*) FROM t"), "3\n");
}

#[test]
fn describe_tells_the_key_and_what_is_hidden() {
    for inline in [true, false] {
        let database = changed_table(inline);
        assert_eq!(database.query(ALL), CHANGED);
        let described = database.describe("t");
        let numbers = ["rows", "hidden_rows", "files", "sequence"].map(|name| described[name].as_u64().unwrap());
        // None of the rows 1, 2, 2, 3 is left and two of 3, 4, 4 are; the update has added one, and there are forty
        // more.
        assert_eq!(numbers, [43, 5, 3, 4], "{described}");
        assert_eq!(described["options"]["primary_key"], "id");
        let files = described["data_files"].as_array().unwrap().iter();
        let hidden: Vec<_> = files.map(|file| (file["rows"].as_u64(), file["hidden_rows"].as_u64())).collect();
        assert_eq!(hidden, [(Some(24), Some(4)), (Some(23), Some(1)), (Some(1), Some(0))], "{described}");
        let table = database.ok(&["--format", "csv", "describe", "t"]);
        for line in ["hidden rows,5", "primary_key,id", "on_conflict,upsert", "data file,rows,hidden,bytes,added at"] {
            assert!(table.lines().any(|found| found == line), "{line}: {table}");
        }
        assert!(table.lines().any(|line| line.contains(",24,4,")), "{table}");
        let ran = database.run(&["check", "--deep"]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
    }
}

/// Maintenance changes no row of a table, and its keys stay its keys.
#[test]
fn looking_after_a_keyed_table_leaves_its_content() {
    for inline in [true, false] {
        let database = changed_table(inline);
        let steps: [&[&str]; 7] = [
            &["flush", "t"],
            &["compact", "t"],
            &["expire"],
            &["collect"],
            &["flush"],
            &["repair", "--deep"],
            &["collect"],
        ];
        for args in steps {
            database.ok(args);
            assert_eq!(database.query(ALL), CHANGED, "{args:?}");
            assert_eq!(database.query("SELECT count(*) FROM t"), "43\n", "{args:?}");
            assert_eq!(database.query("SELECT name FROM t WHERE id = 4"), "vier\n", "{args:?}");
            assert_eq!(database.query("SELECT name FROM t WHERE id = 2"), "", "{args:?}");
            database.ok(&["check", "--deep"]);
        }
        let [a, b] = sources(&database);
        database.ok(&["load", &a, &b, "--into", "t", "--upsert"]);
        assert_eq!(database.query(ALL), "1,one\n2,deux\n3,drei\n4,vier\n");
        database.assert_no_left_overs();
    }
}

#[test]
fn a_keyed_table_goes_elsewhere_with_what_is_hidden() {
    for inline in [true, false] {
        let (from, to) = (changed_table(inline), Database::new());
        let slice = from.path("slice").to_str().unwrap().to_owned();
        from.ok(&["export", "t", "--to", &slice]);
        from.ok(&["sql", "-c", "DELETE FROM t WHERE id = 1"]);
        to.ok(&["import", &slice]);
        assert_eq!(to.query(ALL), CHANGED);
        let described = to.describe("t");
        assert_eq!((&described["rows"], &described["hidden_rows"]), (&43.into(), &5.into()));
        assert_eq!(described["options"]["primary_key"], "id");
        // The imported table knows its keys: no row is duplicated, and no hidden row comes back.
        let [a, b] = sources(&to);
        to.ok(&["load", &b, "--into", "t", "--upsert"]);
        assert_eq!(to.query(ALL), CHANGED);
        to.ok(&["load", &a, "--into", "t", "--upsert"]);
        assert_eq!(to.query(ALL), "1,one\n2,deux\n3,three\n4,vier\n");
        to.ok(&["import", &slice, "--replace"]);
        assert_eq!(to.query(ALL), CHANGED);
        for args in [&["flush"][..], &["compact"], &["expire"], &["collect"], &["check", "--deep"]] {
            to.ok(args);
        }
        assert_eq!(to.query(ALL), CHANGED);
        to.assert_no_left_overs();
    }
}

/// A lost key index is rebuilt, whatever the command. A lost deletion file is an error: its rows never become visible.
#[test]
fn a_lost_index_costs_time_and_a_lost_deletion_file_is_an_error() {
    let database = Database::new();
    database.ok(&[
        "--threads=1",
        "sql",
        "-c",
        "CREATE TABLE t (id BIGINT PRIMARY KEY, name VARCHAR);
        INSERT INTO t SELECT value, 'name ' || value FROM generate_series(1, 700000);
        DELETE FROM t WHERE id % 4 = 0",
    ]);
    let sums = "SELECT count(*), sum(id), count(DISTINCT id) FROM t";
    assert_eq!(database.query(sums), "525000,183750000000,525000\n");
    let folder = database.data_files()[0].parent().unwrap().to_owned();
    let indexes = std::fs::read_dir(folder.join("_keys")).unwrap();
    for index in indexes {
        std::fs::remove_file(index.unwrap().path()).unwrap();
    }
    database.ok(&["sql", "-c", "INSERT INTO t VALUES (1, 'one'), (4, 'four')"]);
    assert_eq!(database.query("SELECT id, name FROM t WHERE id IN (1, 2, 4) ORDER BY id"), "1,one\n2,name 2\n4,four\n");
    let deletions: Vec<_> =
        std::fs::read_dir(folder.join("_deletes")).unwrap().map(|file| file.unwrap().path()).collect();
    std::fs::remove_file(&deletions[0]).unwrap();
    database.run(&["sql", "-c", "SELECT sum(id) FROM t"]).failed(1, "missing-deletion");
    let check = database.run(&["check"]);
    assert_eq!(check.code, Some(3), "{check:?}");
    assert!(check.out.contains("missing-deletion") || check.err.contains("missing-deletion"), "{check:?}");
}
