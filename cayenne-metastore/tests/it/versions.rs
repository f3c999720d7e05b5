//! Files of earlier versions are read as they are, and migrated when they are opened for writing.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cayenne_format::NoSteps;
use cayenne_metastore::conformance::Samples;
use cayenne_metastore::{Metastore, SqlViews, TursoMetastore};
use rusqlite::Connection;

use crate::fixture::{contents, fill, open, open_read_only, settings};

/// Creates a file of version 1: a current one without what later versions added.
async fn first_version(folder: &Path) -> PathBuf {
    let path = folder.join("a.db");
    let metastore = open(&path).await;
    fill(&metastore, &Samples::new(1)).await;
    metastore.close().await.unwrap();
    let back = "DROP TABLE cayenne_view; PRAGMA user_version = 1";
    Connection::open(&path).unwrap().execute_batch(back).unwrap();
    path
}

fn version(path: &Path) -> i64 {
    Connection::open(path).unwrap().pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn first_version_is_read_without_a_change_and_has_no_views() {
    let folder = tempfile::tempdir().unwrap();
    let path = first_version(folder.path()).await;
    let before = fs::read(&path).unwrap();
    let reader = open_read_only(&path).await.unwrap();
    let read = contents(&reader).await.unwrap();
    assert_eq!((read.tables.len(), read.views.len()), (2, 0));
    assert_eq!(reader.find_view(&read.tables[0].name).await.unwrap(), None);
    reader.close().await.unwrap();
    assert!(fs::read(&path).unwrap() == before, "reading has changed the file");
}

#[tokio::test]
async fn first_version_becomes_the_latest_when_it_is_opened_for_writing() {
    for is_turso in [false, true] {
        let folder = tempfile::tempdir().unwrap();
        let path = first_version(folder.path()).await;
        let reader = if is_turso { None } else { Some(open_read_only(&path).await.unwrap()) };
        let writer: Arc<dyn Metastore> = if is_turso {
            Arc::new(TursoMetastore::open(&path, settings(), Arc::new(NoSteps)).await.unwrap())
        } else {
            Arc::new(open(&path).await)
        };
        let view = Samples::new(2).view("v");
        writer.create_view(&view, false).await.unwrap();
        let written = contents(writer.as_ref()).await.unwrap();
        assert_eq!((written.tables.len(), written.views.as_slice()), (2, [view].as_slice()));
        if let Some(reader) = reader {
            assert_eq!(contents(&reader).await.unwrap(), written, "a process that was there before sees it");
            reader.close().await.unwrap();
        }
        writer.close().await.unwrap();
        assert_eq!(version(&path), 2);
        assert_eq!(contents(&open_read_only(&path).await.unwrap()).await.unwrap(), written);
    }
}

#[tokio::test]
async fn view_that_vanished_from_its_index_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = first_version(folder.path()).await;
    let metastore = open(&path).await;
    for name in ["v", "w"] {
        metastore.create_view(&Samples::new(3).view(name), false).await.unwrap();
    }
    metastore.close().await.unwrap();
    let connection = Connection::open(&path).unwrap();
    let root = "SELECT rootpage FROM sqlite_schema WHERE name = 'sqlite_autoindex_cayenne_view_1'";
    let root: u32 = connection.query_row(root, [], |row| row.get(0)).unwrap();
    let page_bytes: u32 = connection.pragma_query_value(None, "page_size", |row| row.get(0)).unwrap();
    drop(connection);
    let mut bytes = fs::read(&path).unwrap();
    let cells_at = usize::try_from((root - 1) * page_bytes + 4).unwrap();
    assert_eq!(bytes[cells_at], 2, "the page has one cell for each view");
    bytes[cells_at] = 1;
    fs::write(&path, bytes).unwrap();
    assert!(open_read_only(&path).await.is_err(), "SQLite");
    assert!(TursoMetastore::open(&path, settings(), Arc::new(NoSteps)).await.is_err(), "Turso");
}
