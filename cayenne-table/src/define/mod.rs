//! Creating, replacing and dropping tables and views.
//!
//! A new table and its first rows are created by one commit. The rows are written as in `write`.

pub(crate) mod create;
pub(crate) mod definition;
pub(crate) mod drop;
pub(crate) mod replace;
pub(crate) mod sql_views;
