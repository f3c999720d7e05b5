//! The marker of a table folder names its table, and nothing is read or removed in the folder of another table.

use cayenne_format::ErrorKind;
use cayenne_table::{CheckDepth, Database};

use crate::fixture::{database, existing, name, open, read, rows, sum, table};

#[tokio::test(flavor = "multi_thread")]
async fn a_table_is_not_opened_in_the_folder_of_another() {
    let (folder, database) = database().await;
    let (a, b) = (table(&database, "a").await, table(&database, "b").await);
    a.append(rows(0..10)).await.unwrap();
    let marker =
        |table: &cayenne_table::Table| folder.path().join("data").join(&table.record().location).join("_table.json");
    let (of_a, of_b) = (marker(&a), marker(&b));
    let own = std::fs::read(&of_a).unwrap();
    drop((a, b, database));

    std::fs::copy(&of_b, &of_a).unwrap();
    let database = open(folder.path()).await;
    let error = database.table(&name("a")).await.unwrap_err();
    assert_eq!((error.kind(), error.stable_code()), (ErrorKind::Invalid, "foreign-table-folder"), "{error}");
    assert!(error.to_string().contains("_table.json") || error.to_string().contains("folder"), "{error}");
    assert!(database.collect(true).await.is_err(), "nothing is removed in a folder of another table");
    existing(&database, "b").await;
    assert_eq!(codes(&database).await, ["foreign-table-folder"]);
    drop(database);

    std::fs::write(&of_a, own).unwrap();
    let database = open(folder.path()).await;
    assert_eq!(codes(&database).await, [""; 0]);
    assert_eq!(read(&*existing(&database, "a").await).await, sum(0..10));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_read_without_a_marker_but_nothing_is_removed() {
    for damage in [None, Some("not json")] {
        let (folder, database) = database().await;
        let t = table(&database, "t").await;
        t.append(rows(0..10)).await.unwrap();
        let marker = folder.path().join("data").join(&t.record().location).join("_table.json");
        drop((t, database));
        match damage {
            None => std::fs::remove_file(&marker).unwrap(),
            Some(text) => std::fs::write(&marker, text).unwrap(),
        }
        let database = open(folder.path()).await;
        assert_eq!(read(&*existing(&database, "t").await).await, sum(0..10));
        let code = if damage.is_none() { "missing-marker" } else { "damaged-marker" };
        assert_eq!(codes(&database).await, [code]);
        assert_eq!(database.collect(true).await.unwrap_err().stable_code(), code);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_of_a_newer_version_is_refused_and_the_other_tables_are_checked() {
    let (folder, database) = database().await;
    let (new, old) = (table(&database, "new").await, table(&database, "old").await);
    old.append(rows(0..10)).await.unwrap();
    let marker = folder.path().join("data").join(&new.record().location).join("_table.json");
    let text = std::fs::read_to_string(&marker).unwrap().replace("\"format_version\":1", "\"format_version\":2");
    std::fs::write(&marker, text).unwrap();
    drop((new, old, database));
    let database = open(folder.path()).await;
    let error = database.table(&name("new")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    let report = database.check(CheckDepth::Deep).await.unwrap();
    assert_eq!((report.tables, report.files, report.problems.len()), (2, 1, 1));
    assert_eq!(report.problems[0].error.kind(), ErrorKind::Unsupported);
}

async fn codes(database: &Database) -> Vec<String> {
    let report = database.check(CheckDepth::Quick).await.unwrap();
    report.problems.iter().map(|problem| problem.error.stable_code().to_owned()).collect()
}
