#![doc = include_str!("../README.md")]

pub mod conformance;
mod memory;
mod metastore;
mod place;
mod settings;
mod sql;
mod sql_view;
mod sqlite;
#[cfg(feature = "turso")]
mod turso;

pub use memory::MemoryMetastore;
pub use metastore::{
    Beginning, CommitLog, History, Metastore, NewTable, Restored, StagedCommit, TableKey, TableRecord, Writer,
};
pub use settings::{SqliteSettings, Synchronous};
pub use sql_view::{SqlView, SqlViews};
pub use sqlite::SqliteMetastore;
#[cfg(feature = "turso")]
pub use turso::TursoMetastore;
