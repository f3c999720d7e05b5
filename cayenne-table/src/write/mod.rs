//! Commits: rows that are appended, upserted, changed or staged become data files, and those become part of a table.
//!
//! All writes come together in `publish`, the one place that commits. Creating tables is in `define`, rewriting files that
//! are there in `upkeep`.

pub(crate) mod append;
pub(crate) mod apply;
pub(crate) mod change;
pub(crate) mod found;
pub(crate) mod publish;
pub(crate) mod replaced;
pub(crate) mod stage;
pub(crate) mod together;
pub(crate) mod writer;
pub(crate) mod written;
