//! The catalog of a DataFusion session: tables, views and system tables of the database, and the tables and views that
//! exist only in the session.
//!
//! The module `statements` creates and drops them.

pub(crate) mod find;
pub(crate) mod names;
pub(crate) mod provider;
pub(crate) mod session_tables;
pub(crate) mod session_views;
pub(crate) mod system;
pub(crate) mod system_columns;
pub(crate) mod view_plan;
pub(crate) mod view_table;
