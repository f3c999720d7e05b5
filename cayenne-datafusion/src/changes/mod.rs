//! `DELETE`, `UPDATE` and `MERGE` as queries: the query finds rows with their positions, and one plan node hides those
//! rows and adds others.

pub(crate) mod change;
pub(crate) mod dml;
pub(crate) mod exec;
pub(crate) mod found_rows;
pub(crate) mod gathered_keys;
pub(crate) mod identity_table;
pub(crate) mod merge;
pub(crate) mod null_values;
pub(crate) mod plan;
pub(crate) mod target;
