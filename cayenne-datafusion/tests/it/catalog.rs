//! Catalog, external tables, system tables.

use std::sync::Arc;

use cayenne_datafusion::SessionStateBuilderExt;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::prelude::SessionContext;

use crate::fixture::fixture;

#[tokio::test(flavor = "multi_thread")]
async fn one_call_installs_everything_in_a_session_of_the_user() {
    let f = fixture().await;
    f.run("CREATE TABLE t AS VALUES (1), (2)").await;
    let state = SessionStateBuilder::new().with_default_features().with_cayenne(&f.database).build();
    let ctx = SessionContext::new_with_state(state);
    // The default catalog is still the user's.
    ctx.sql("CREATE TABLE mine AS VALUES (1)").await.unwrap().collect().await.unwrap();
    let joined = "SELECT count(*) FROM mine JOIN cayenne.public.t ON mine.column1 = t.column1";
    assert_eq!(ctx.sql(joined).await.unwrap().count().await.unwrap(), 1);
    let at = "SELECT * FROM cayenne_at('t', 1)";
    assert_eq!(ctx.sql(at).await.unwrap().count().await.unwrap(), 2);
    assert_eq!(f.database.tables().await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn external_tables_live_in_the_database_at_their_location() {
    let f = fixture().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let location = elsewhere.path().join("db");
    let create = |columns: &str, options: &str| {
        format!("CREATE EXTERNAL TABLE e {columns} STORED AS CAYENNE LOCATION '{}' {options}", location.display())
    };
    let state = SessionStateBuilder::new().with_default_features().with_cayenne(&f.database).build();
    let ctx = SessionContext::new_with_state(state);
    let run = async |text: &str| ctx.sql(text).await?.collect().await;
    run(&create(
        "(id BIGINT, name VARCHAR)",
        "OPTIONS ('cayenne_target_file_size_mb' '8', 'compression_strategy' 'zstd')",
    ))
    .await
    .unwrap();
    run("INSERT INTO e VALUES (1, 'a')").await.unwrap();
    run("DROP TABLE e").await.unwrap();
    // Dropping an external table removes it from the session only; its columns need not be declared again.
    run(&create("", "")).await.unwrap();
    assert_eq!(ctx.sql("SELECT * FROM e").await.unwrap().count().await.unwrap(), 1);
    run("DROP TABLE e").await.unwrap();
    let error = cayenne_datafusion::error_of(run(&create("(id BIGINT, other INT)", "")).await.unwrap_err());
    assert_eq!(error.kind(), cayenne_format::ErrorKind::Invalid, "{error:?}");
    // A table keeps the options that it was created with. A statement with other options must be an error.
    run(&create("", "OPTIONS ('target_file_size_mb' '8')")).await.unwrap();
    run("DROP TABLE e").await.unwrap();
    let error = run(&create("", "OPTIONS ('cayenne_target_file_size_mb' '16')")).await.unwrap_err();
    let error = cayenne_datafusion::error_of(error);
    assert_eq!(error.stable_code(), "other-options", "{error:?}");
    let error = run(&create("", "OPTIONS ('cayenne_target_file_sise_mb' '8')")).await.unwrap_err();
    let error = cayenne_datafusion::error_of(error);
    assert!(error.way_to_mend().unwrap().contains("cayenne_target_file_size_mb"), "{error:?}");
    for (clause, code) in [("(id BIGINT UNIQUE)", "unsupported-sql"), ("(id BIGINT DEFAULT 'x')", "invalid-default")] {
        let text = create(clause, "").replace("TABLE e", "TABLE k");
        let error = cayenne_datafusion::error_of(run(&text).await.unwrap_err());
        assert_eq!(error.stable_code(), code, "{clause}: {error:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_location_that_is_a_file_or_a_url_is_refused() {
    let f = fixture().await;
    let file = f.folder.path().join("file");
    std::fs::write(&file, "x").unwrap();
    for location in [file.display().to_string(), "s3://bucket/db".to_owned(), "http://x/y".to_owned()] {
        let text = format!("CREATE EXTERNAL TABLE e (id BIGINT) STORED AS CAYENNE LOCATION '{location}'");
        f.fails(&text).await;
    }
    assert!(!std::path::Path::new("s3:").exists() && !std::path::Path::new("http:").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn system_tables_tell_what_there_is() {
    let f = fixture().await;
    f.run("CREATE TABLE t AS VALUES (1), (2)").await;
    f.run("INSERT INTO t VALUES (3)").await;
    f.run("CREATE TABLE u AS VALUES ('x')").await;
    assert_eq!(
        f.rows("SELECT name, rows, files, sequence FROM system.tables ORDER BY name").await,
        ["t,3,2,2", "u,1,1,1"]
    );
    assert_eq!(f.rows("SELECT rows, added_at FROM t$files ORDER BY added_at").await, ["2,1", "1,2"]);
    let log = "SELECT sequence, operation, files_added, rows_added FROM t$snapshots ORDER BY sequence";
    assert_eq!(f.rows(log).await, ["1,append,1,2", "2,append,1,1"]);
    assert_eq!(f.rows("SELECT count(*) FROM system.files").await, ["3"]);
    assert_eq!(f.rows("SELECT count(*) FROM system.snapshots").await, ["3"]);
    assert_eq!(f.rows("SELECT name FROM system.caches").await, ["segments"]);
    let shown = f.rows("SHOW TABLES").await;
    assert!(shown.contains(&"cayenne,public,t,BASE TABLE".to_owned()), "{shown:?}");
    assert!(shown.contains(&"cayenne,system,tables,BASE TABLE".to_owned()), "{shown:?}");
    assert_eq!(f.rows("DESCRIBE u").await, ["column1,Utf8,YES"]);
    f.fails("SELECT * FROM t$nothing").await;
    f.fails("CREATE TABLE system.x AS VALUES (1)").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_table_names_are_refused_or_kept_literally() {
    let f = fixture().await;
    for name in ["../x", "a/b", "a\\b", "..", "t$files"] {
        let error = f.fails(&format!("CREATE TABLE \"{name}\" AS VALUES (1)")).await;
        assert_eq!(error.kind(), cayenne_format::ErrorKind::Invalid, "{name}: {error:?}");
    }
    for name in ["select", "a'b", "a\"\"b", "x; DROP TABLE t", "%2e%2e"] {
        f.run(&format!("CREATE TABLE \"{name}\" AS VALUES (1)")).await;
        assert_eq!(f.rows(&format!("SELECT * FROM \"{name}\"")).await, ["1"], "{name}");
    }
    let names: Vec<_> = std::fs::read_dir(f.folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "something was made outside data and metadata: {names:?}");
    drop(Arc::clone(&f.database));
}
