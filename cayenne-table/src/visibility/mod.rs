//! Which rows of a data file a view shows: deletion vectors by position, tombstones by key, and rows named by position.
//!
//! Here they are read, cached and written. Which rows a statement hides is decided by `write` and `keys`.

pub(crate) mod deletions;
pub(crate) mod hidden;
pub(crate) mod lookup;
pub(crate) mod rows;
pub(crate) mod tombstones;
