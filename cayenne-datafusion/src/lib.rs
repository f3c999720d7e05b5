#![doc = include_str!("../README.md")]

mod blocking;
mod catalog;
mod converter;
mod dynamic_filter;
mod error;
mod factory;
mod guard;
mod inline_scan;
mod maintenance;
mod provider;
mod prune;
mod reader;
mod session;
mod settings;
mod source;
mod sql;
mod statistics;
mod system;
mod time_travel;
mod write_exec;
mod write_plan;

pub use catalog::CayenneCatalog;
pub use error::error_of;
pub use provider::CayenneTable;
pub use session::{CATALOG, SCHEMA, SessionStateBuilderExt, recommended_config, session};
pub use sql::{execute, sql, statements};
pub use write_plan::{NewColumns, WriteTarget, write_plan};
