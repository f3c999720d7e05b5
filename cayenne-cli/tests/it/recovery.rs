//! `recover` and `repair`: how a user gets a database back after a lost metastore or a damaged file.

use crate::database::Database;

/// A table `t` in data files, and a table `s` whose rows are inline; both processes have closed the database.
fn two_tables() -> Database {
    let database = Database::with_table();
    database.ok(&["sql", "-c", "CREATE TABLE s (a INT, b TEXT); INSERT INTO s VALUES (1, 'x'), (2, 'y')"]);
    database
}

fn metastore(database: &Database) -> std::path::PathBuf {
    database.root().join("metadata").join("cayenne.db")
}

#[track_caller]
fn is_whole(database: &Database) {
    assert_eq!(database.query("SELECT count(*), sum(id) FROM t"), "3,6\n");
    assert_eq!(database.query("SELECT count(*), min(b) FROM s"), "2,x\n");
    database.ok(&["check", "--deep"]);
}

#[test]
fn a_lost_metastore_comes_back_from_the_manifests() {
    let database = two_tables();
    std::fs::remove_file(metastore(&database)).unwrap();
    // No command creates a new metastore next to the data of another one.
    for command in [&["tables"][..], &["sql", "-c", "CREATE TABLE u (a INT)"], &["collect"], &["check"], &["repair"]] {
        assert!(database.run(command).failed(1, "metastore-missing").contains("recover --from-manifest"));
    }
    let dry = database.ok(&["--format", "csv", "recover", "--from-manifest", "--dry-run"]);
    assert!(!metastore(&database).exists(), "it only says");
    let back = database.ok(&["--format", "csv", "recover", "--from-manifest"]);
    assert_eq!(back, dry);
    let lines: Vec<_> = back.lines().collect();
    assert_eq!(lines[0], "table,from,sequence,as_of,rows,files,folder,problems");
    assert!(lines[1].starts_with("s,manifest,1,20") && lines[1].contains(",2,1,s-"), "{back}");
    assert!(lines[2].starts_with("t,manifest,1,20") && lines[2].contains(",3,1,t-"), "{back}");
    is_whole(&database);
    let again = database.run(&["recover", "--from-manifest"]);
    assert_eq!((again.code, again.out.as_str()), (Some(0), ""), "{again:?}");
    assert!(again.err.contains("has lost nothing"), "{again:?}");
    database.ok(&["sql", "-c", "INSERT INTO s VALUES (3, 'z')"]);
    assert_eq!(database.query("SELECT count(*) FROM s"), "3\n");
}

#[test]
fn a_destroyed_metastore_is_moved_aside_and_made_anew() {
    let database = two_tables();
    let garbage = vec![7; 20_000];
    std::fs::write(metastore(&database), &garbage).unwrap();
    assert!(database.run(&["tables"]).failed(1, "corrupt").contains("recover --from-manifest"));
    let ran = database.run(&["recover", "--from-manifest"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let aside = ran.err.split_once("the old metastore is in ").unwrap().1.trim();
    let old = std::path::Path::new(aside).join("metadata").join("cayenne.db");
    assert!(std::fs::read(old).unwrap() == garbage, "nothing is deleted");
    is_whole(&database);
}

#[test]
fn recovery_waits_for_no_writer_and_needs_a_database() {
    let database = two_tables();
    let mut writer = database.converse(&[]);
    assert_eq!(writer.say("INSERT INTO s VALUES (3, 'z')"), "OK 1\n");
    database.run(&["recover", "--from-manifest"]).failed(4, "table-locked");
    assert_eq!(writer.say("INSERT INTO s VALUES (4, 'z')"), "OK 1\n");
    Database::new().run(&["recover", "--from-manifest"]).failed(1, "no-database");
    assert_eq!(database.run(&["recover"]).code, Some(2), "from what has to be said");
}

#[test]
fn a_damaged_file_is_taken_out_and_kept_aside() {
    let database = two_tables();
    database.ok(&["sql", "-c", "INSERT INTO t SELECT value, 'n' FROM generate_series(10, 19)"]);
    let file = database.data_files().remove(0);
    std::fs::write(&file, "damaged").unwrap();
    database.run(&["sql", "-c", "SELECT sum(id) FROM t"]).failed(1, "damaged-file");
    let dry = database.run(&["--format", "csv", "repair", "--dry-run"]);
    assert_eq!(dry.code, Some(3), "{dry:?}");
    assert!(dry.out.contains("would be taken out of the table,"), "{dry:?}");
    assert!(file.exists());
    let ran = database.run(&["--format", "csv", "repair"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.out.contains(",taken out of the table,"), "{ran:?}");
    assert!(!file.exists());
    let aside = ran.out.lines().nth(1).unwrap().rsplit(',').next().unwrap();
    assert_eq!(std::fs::read_to_string(aside).unwrap(), "damaged", "nothing is deleted");
    database.ok(&["check", "--deep"]);
    assert_eq!(database.query("SELECT count(*) < 13 FROM t"), "true\n");
    let nothing = database.run(&["repair"]);
    assert_eq!((nothing.code, nothing.err.as_str()), (Some(0), "nothing to repair\n"));
}

#[test]
fn what_the_metastore_has_lost_is_not_collected() {
    let database = two_tables();
    let old = std::fs::read(metastore(&database)).unwrap();
    database.ok(&["sql", "-c", "CREATE TABLE late AS SELECT value AS id FROM generate_series(1, 5000)"]);
    std::fs::write(metastore(&database), old).unwrap();
    let ran = database.run(&["--format", "csv", "collect"]);
    assert!(ran.out.lines().any(|line| line.starts_with("folder,late-") && line.ends_with(",kept")), "{ran:?}");
    let back = database.ok(&["--format", "csv", "recover", "--from-manifest"]);
    assert!(back.contains("late,manifest,1,") && back.contains("t,metastore,1,"), "{back}");
    assert_eq!(database.query("SELECT count(*) FROM late"), "5000\n");
    is_whole(&database);
    database.ok(&["sql", "-c", "DROP TABLE late"]);
    assert_eq!(database.ok(&["--format", "csv", "collect"]), "kind,name,outcome\n");
    assert!(!database.ok(&["--format", "csv", "tables"]).contains("late"));
}
