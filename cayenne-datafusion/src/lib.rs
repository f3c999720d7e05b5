#![doc = include_str!("../README.md")]

mod blocking;
mod catalog;
mod changes;
mod columns;
mod corrections;
mod dynamic_filter;
mod error;
mod files;
mod keys;
mod pinned;
mod project;
mod provider;
mod scan;
mod session;
mod statements;
mod text;
mod values;
mod write;

pub use catalog::names::{CATALOG, SCHEMA};
pub use catalog::provider::CayenneCatalog;
pub use catalog::system_columns::{SYSTEM_COLUMNS, SystemColumn};
pub use catalog::view_table::view_statement;
pub use error::error_of;
pub use files::{
    ColumnOption, Dialect, FileKind, SourceFile, TextFile, TextOptions, check_outside, compression_of_bytes,
    find_files, literal_url, parse_mark,
};
pub use provider::CayenneTable;
pub use session::build::{SessionStateBuilderExt, recommended_config, session};
pub use statements::prepared::{Prepared, prepare};
pub use statements::run::{dialect, execute, sql, statements};
pub use write::plan::write_plan;
pub use write::target::{NewColumns, WriteTarget};
