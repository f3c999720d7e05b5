//! The catalog of a DataFusion session: tables, views, system tables, and tables and views that are not stored.
//!
//! Creating and dropping them are `statements`.

pub(crate) mod find;
pub(crate) mod names;
pub(crate) mod provider;
pub(crate) mod session_tables;
pub(crate) mod session_views;
pub(crate) mod system;
pub(crate) mod system_columns;
pub(crate) mod view_plan;
pub(crate) mod view_table;
