//! The handles of tables and databases, the state that all tables of a database share, and opening a database.
//!
//! This module has the structs and the methods that every other module needs. The operations on a table are methods of
//! [`Table`](table::Table) in the other modules.

pub(crate) mod backend;
pub(crate) mod database;
pub(crate) mod settings;
pub(crate) mod shared;
pub(crate) mod table;
