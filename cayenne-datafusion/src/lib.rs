#![doc = include_str!("../README.md")]

mod blocking;
mod cast_names;
mod catalog;
mod change_exec;
mod change_plan;
mod column_defaults;
mod converter;
mod corrections;
mod create_table;
mod default_keyword;
mod direct_scan;
mod dml;
mod dynamic_filter;
mod error;
mod exponents;
mod factory;
mod files;
mod found_rows;
mod gathered_keys;
mod guard;
mod identity;
mod identity_table;
mod join_filters;
mod key_lookup;
mod key_select;
mod key_value;
mod keys;
mod lookup_exec;
mod maintenance;
mod merge;
mod null_values;
mod on_conflict;
mod pinned;
mod positions;
mod prepared;
mod provider;
mod prune;
mod reader;
mod row_values;
mod scan;
mod session;
mod settings;
mod source;
mod sql;
mod statistics;
mod system;
mod time_travel;
mod unreadable_default;
mod using_columns;
mod view_plan;
mod view_table;
mod views;
mod write_exec;
mod write_plan;

pub use catalog::CayenneCatalog;
pub use error::error_of;
pub use files::{
    ColumnOption, Dialect, FileKind, SourceFile, TextFile, TextOptions, check_outside, compression_of_bytes,
    find_files, parse_mark,
};
pub use prepared::{Prepared, prepare};
pub use provider::CayenneTable;
pub use session::{CATALOG, SCHEMA, SessionStateBuilderExt, recommended_config, session};
pub use sql::{dialect, execute, sql, statements};
pub use views::view_statement;
pub use write_plan::{NewColumns, WriteTarget, write_plan};
