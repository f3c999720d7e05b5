#![doc = include_str!("../README.md")]

mod aside;
mod backend;
mod check;
mod collect;
mod create;
mod database;
mod expire;
mod export;
mod flush;
mod import;
mod manifest;
mod pin;
mod publish;
mod readers;
mod rebuild;
mod recover;
mod repair;
mod shared;
mod stage;
mod state;
mod table;
mod task;
mod together;
mod view;
mod write;
mod writer;

pub use backend::Backend;
pub use check::{CheckDepth, CheckReport, Problem, Subject};
pub use collect::{Collected, Finding};
pub use database::{Access, Database, DatabaseBuilder, DatabaseSettings};
pub use expire::Expired;
pub use export::SliceContents;
pub use flush::Flushed;
pub use import::ImportOptions;
pub use pin::Pin;
pub use rebuild::{RecoveredDatabase, RecoveredFrom, RecoveredTable};
pub use recover::{Recovery, RejectedCommit};
pub use repair::{Outcome, Repaired};
pub use stage::StagedWrite;
pub use table::Table;
pub use together::TableWrite;
pub use view::{PinnedView, View};
pub use write::Written;

pub use cayenne_metastore::Synchronous;
