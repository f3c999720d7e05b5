//! Recovery from loss and damage: manifests, recovery of staged commits, checks and repairs, and rebuilding a metastore
//! from the files next to the data.
//!
//! Nothing here runs during a write, except writing manifests, and recovering staged commits in a new writer.

pub(crate) mod aside;
pub(crate) mod check;
pub(crate) mod manifest;
pub(crate) mod rebuild;
pub(crate) mod recover;
pub(crate) mod repair;
pub(crate) mod table_state;
