//! What is done when something was lost: manifests, recovery of staged commits, checks and repairs, and rebuilding a
//! metastore from what lies beside the data.
//!
//! Nothing here runs in the course of a write, but for the manifests and for a new writer's look at what was staged.

pub(crate) mod aside;
pub(crate) mod check;
pub(crate) mod manifest;
pub(crate) mod rebuild;
pub(crate) mod recover;
pub(crate) mod repair;
pub(crate) mod table_state;
