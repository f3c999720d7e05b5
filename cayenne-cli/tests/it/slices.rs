//! `export` and `import`: a table moves to another database in a folder.

use crate::database::Database;

// pitfall 63
#[test]
fn a_table_goes_elsewhere_as_often_as_wanted() {
    let (from, to) = (Database::with_table(), Database::new());
    from.ok(&["sql", "-c", "INSERT INTO t VALUES (4, 'four')"]);
    to.ok(&["sql", "-c", "CREATE TABLE other (a INT); INSERT INTO other VALUES (1)"]);
    let slice = from.path("slice").to_str().unwrap().to_owned();
    let ran = from.run(&["export", "t", "--to", &slice]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.err.starts_with("exported 4 rows, 2 data files, "), "{ran:?}");
    from.ok(&["sql", "-c", "INSERT INTO t VALUES (5, 'five')"]);
    let ran = to.run(&["import", &slice]);
    assert!(ran.code == Some(0) && ran.err.starts_with("imported 4 rows, 2 data files, "), "{ran:?}");
    assert_eq!(to.query("SELECT count(*), sum(id) FROM t"), "4,10\n");
    assert!(to.run(&["import", &slice]).failed(1, "table-exists").contains("another name"));
    to.ok(&["import", &slice, "--into", "again"]);
    to.ok(&["sql", "-c", "INSERT INTO t VALUES (6, 'six')"]);
    to.ok(&["import", &slice, "--replace"]);
    assert_eq!(to.query("SELECT count(*) FROM t UNION ALL SELECT count(*) FROM again"), "4\n4\n");
    assert_eq!(to.query("SELECT count(*) FROM other"), "1\n");
    to.ok(&["check", "--deep"]);
    assert_eq!(to.ok(&["--format", "csv", "collect"]), "kind,name,outcome\n", "nothing was left over");
    // The folder is self-contained: it works at the place it was moved to.
    let moved = from.path("moved");
    std::fs::rename(&slice, &moved).unwrap();
    to.ok(&["import", moved.to_str().unwrap(), "--into", "from elsewhere"]);
    assert_eq!(to.query("SELECT max(name) FROM \"from elsewhere\""), "two\n");
}

#[test]
fn rows_that_are_hidden_are_not_counted() {
    let to = Database::new();
    for mode in ["position", "key"] {
        let from = Database::new();
        let source = from.write("t.csv", "id,name\n1,one\n2,two\n3,three\n4,four\n5,five\n");
        let option = format!("deletion_mode={mode}");
        from.ok(&["load", &source, "--into", "t", "--primary-key", "id", "--option", &option]);
        from.ok(&["flush"]);
        from.ok(&["sql", "-c", "DELETE FROM t WHERE id IN (2, 4)"]);
        let slice = from.path("slice").to_str().unwrap().to_owned();
        let ran = from.run(&["export", "t", "--to", &slice]);
        assert!(ran.err.starts_with("exported 3 rows, 1 data file, "), "{mode}: {ran:?}");
        let ran = to.run(&["import", &slice, "--replace"]);
        assert!(ran.err.contains("imported 3 rows, 1 data file, "), "{mode}: {ran:?}");
        assert_eq!(to.query("SELECT count(*) FROM t"), "3\n");
    }
}

#[test]
fn a_damaged_slice_changes_nothing() {
    let (from, to) = (Database::with_table(), Database::with_table());
    let slice = from.path("slice");
    from.ok(&["export", "t", "--to", slice.to_str().unwrap()]);
    let file = std::fs::read_dir(slice.join("files")).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let before = to.files_on_disk();
    to.run(&["import", slice.to_str().unwrap(), "--replace"]).failed(1, "damaged-file");
    std::fs::remove_file(&file).unwrap();
    to.run(&["import", slice.to_str().unwrap(), "--into", "u"]).failed(1, "damaged-slice");
    assert_eq!(to.files_on_disk(), before);
    assert_eq!(to.query("SELECT count(*) FROM t"), "3\n");
}

#[test]
fn what_is_no_slice_is_named() {
    let database = Database::with_table();
    let folder = database.path("folder");
    database.run(&["import", folder.to_str().unwrap()]).failed(1, "no-slice");
    std::fs::create_dir(&folder).unwrap();
    database.run(&["import", folder.to_str().unwrap()]).failed(1, "no-slice");
    database.run(&["import", database.root().to_str().unwrap()]).failed(1, "no-slice");
    database.run(&["export", "nowhere", "--to", folder.to_str().unwrap()]).failed(1, "no-table");
    std::fs::write(folder.join("mine"), "keep").unwrap();
    database.run(&["export", "t", "--to", folder.to_str().unwrap()]).failed(1, "folder-not-empty");
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
}
