//! Everything that the SQL backends share: the text of all statements, the changes and reads that use them, group
//! commit, and the threads.
//!
//! A backend provides connections ([`Connection`]) and the [`Source`] of its readers. It contains no SQL of its own.

mod backfill;
pub(crate) mod change;
mod connection;
mod database;
mod digest;
pub(crate) mod failure;
mod group;
mod history;
pub(crate) mod identity;
pub(crate) mod load;
mod log;
mod migrations;
mod queue;
mod reader;
mod row;
mod sources;
mod staged;
pub(crate) mod statements;
pub(crate) mod tables;
mod views;
mod writer;

pub(crate) use self::connection::{
    Backfill, Connection, Primary, Row, Uncommitted, Value, all, first, roll_back, values,
};
pub(crate) use self::database::Database;
pub(crate) use self::history::forget_rest;
pub(crate) use self::migrations::MIGRATIONS;
#[cfg(test)]
pub(crate) use self::reader::Read;
pub(crate) use self::reader::{Question, Readers, Source, in_transaction};
pub(crate) use self::writer::Writer;
