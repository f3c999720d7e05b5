//! Databases on either metastore, and never on both.

use cayenne_table::{Access, Backend, CheckDepth, Database, DatabaseSettings};

use crate::fixture::{existing, name, read, rows, settings, sum, table};

fn on(backend: Backend) -> DatabaseSettings {
    DatabaseSettings { backend, ..settings() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_on_turso_keeps_what_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::builder(folder.path()).settings(on(Backend::Turso)).open().await.unwrap();
    let t = table(&database, "t").await;
    t.append(rows(0..10)).await.unwrap();
    t.overwrite(rows(0..5)).await.unwrap();
    t.append(rows(5..2_000)).await.unwrap();
    assert_eq!(read(&t).await, sum(0..2_000));
    database.collect(true).await.unwrap();
    assert!(database.check(CheckDepth::Deep).await.unwrap().problems.is_empty());
    database.close().await.unwrap();
    drop((t, database));
    for access in [Access::ReadOnly, Access::ReadWrite] {
        let builder = Database::builder(folder.path()).access(access).settings(on(Backend::Turso));
        let database = builder.open().await.unwrap();
        assert_eq!(read(&*existing(&database, "t").await).await, sum(0..2_000));
        database.close().await.unwrap();
    }
    let names: Vec<_> =
        std::fs::read_dir(folder.path().join("metadata")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(names.iter().any(|name| name == "cayenne-turso.db") && !names.iter().any(|name| name == "cayenne.db"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_is_never_begun_anew_beside_another_metastore() {
    for (made, other) in [(Backend::Sqlite, Backend::Turso), (Backend::Turso, Backend::Sqlite)] {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::builder(folder.path()).settings(on(made)).open().await.unwrap();
        table(&database, "t").await;
        database.close().await.unwrap();
        for access in [Access::ReadWrite, Access::ReadOnly] {
            let opened = Database::builder(folder.path()).access(access).settings(on(other)).open().await;
            let error = opened.map(|_| ()).unwrap_err();
            assert_eq!(error.stable_code(), "other-metastore");
            assert!(error.way_to_mend().unwrap().contains(&made.to_string()), "{error:?}");
        }
        let database = Database::builder(folder.path()).settings(on(made)).open().await.unwrap();
        assert!(database.table(&name("t")).await.unwrap().is_some());
    }
}
