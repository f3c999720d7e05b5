//! `collect`: left-overs go, everything else stays.

use crate::database::Database;

#[test]
fn left_overs_are_listed_first_and_removed_then() {
    let database = Database::with_table();
    let named = database.data_files();
    let folder = named[0].parent().unwrap();
    let left_over = folder.join("01890000-0000-7000-8000-000000000000.vortex");
    std::fs::write(&left_over, "left over").unwrap();
    let dry = database.run(&["--format", "csv", "collect", "--dry-run"]);
    assert_eq!(dry.code, Some(0), "{dry:?}");
    assert!(dry.out.contains("01890000-0000-7000-8000-000000000000.vortex,would be removed"), "{dry:?}");
    assert!(dry.err.starts_with("would remove 1 file (9 B)"), "{dry:?}");
    assert!(left_over.exists());
    let wet = database.run(&["--format", "csv", "collect"]);
    assert!(wet.out.contains(",removed\n") && wet.err.starts_with("removed 1 file"), "{wet:?}");
    assert_eq!(database.data_files(), named);
    assert_eq!(database.query("SELECT count(*) FROM t"), "3\n");
}

#[test]
fn a_table_that_another_process_writes_is_passed_over() {
    let database = Database::with_table();
    let mut writer = database.converse(&[]);
    assert_eq!(writer.say("INSERT INTO t VALUES (4, 'four')"), "OK 1\n");
    let ran = database.run(&["--format", "csv", "collect"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), "kind,name,outcome\ntable,t,passed over\n"), "{ran:?}");
    assert_eq!(writer.say("INSERT INTO t VALUES (5, 'five')"), "OK 1\n");
}
