//! Rewrites statements before they are planned, for instance the columns of `USING`.
//!
//! The rewrites use the syntax tree only, and do not look at tables.

pub(crate) mod column_names;
pub(crate) mod complete;
pub(crate) mod exponents;
pub(crate) mod idents;
pub(crate) mod nested_values;
pub(crate) mod row_values;
pub(crate) mod using_columns;
