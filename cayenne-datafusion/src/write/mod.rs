//! Writes rows into tables: the target of a write, its plan, and its execution.

pub(crate) mod exec;
pub(crate) mod plan;
pub(crate) mod target;
pub(crate) mod target_types;
