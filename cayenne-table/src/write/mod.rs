//! Writes: appended, upserted, changed and staged rows are written to data files, and a commit adds the files to a
//! table.
//!
//! All writes go through `publish`, the one place that commits. Creating tables is in `define`; rewriting existing
//! files is in `upkeep`.

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
