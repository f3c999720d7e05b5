#![doc = include_str!("../README.md")]

pub mod conformance;
mod memory;
mod metastore;
mod sql;
mod sqlite;

pub use memory::MemoryMetastore;
pub use metastore::{Metastore, NewTable, TableRecord, Writer};
pub use sqlite::{SqliteMetastore, SqliteSettings, Synchronous};
