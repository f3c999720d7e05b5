//! Statements as text: what is written out before they are planned, such as the columns of `USING`.
//!
//! It works on the syntax tree alone and knows no table.

pub(crate) mod column_names;
pub(crate) mod complete;
pub(crate) mod exponents;
pub(crate) mod idents;
pub(crate) mod nested_values;
pub(crate) mod row_values;
pub(crate) mod using_columns;
