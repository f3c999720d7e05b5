//! The handles: a table, a database, what all tables of a database share, and how a database is opened.
//!
//! The structs and what every other folder needs of them are here. What can be done with a table stands in the other
//! folders, as methods of [`Table`](table::Table).

pub(crate) mod backend;
pub(crate) mod database;
pub(crate) mod settings;
pub(crate) mod shared;
pub(crate) mod table;
