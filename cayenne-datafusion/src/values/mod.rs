//! Rewrites values that are written to a table: defaults, and values of types that are stored as text.

pub(crate) mod default_keyword;
pub(crate) mod stored_text;
pub(crate) mod stored_text_calls;
