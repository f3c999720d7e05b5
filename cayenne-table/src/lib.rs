#![doc = include_str!("../README.md")]

mod backend;
mod check;
mod collect;
mod create;
mod database;
mod expire;
mod flush;
mod pin;
mod publish;
mod readers;
mod recover;
mod shared;
mod stage;
mod table;
mod task;
mod together;
mod view;
mod write;
mod writer;

pub use backend::Backend;
pub use check::{CheckDepth, CheckReport, Problem};
pub use collect::{Collected, Finding};
pub use database::{Access, Database, DatabaseBuilder, DatabaseSettings};
pub use expire::Expired;
pub use flush::Flushed;
pub use pin::Pin;
pub use recover::{Recovery, RejectedCommit};
pub use stage::StagedWrite;
pub use table::Table;
pub use together::TableWrite;
pub use view::{PinnedView, View};
pub use write::Written;

pub use cayenne_metastore::Synchronous;
