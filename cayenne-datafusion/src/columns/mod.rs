//! Defaults of columns: their SQL text, and the expressions that it is parsed into.

pub(crate) mod defaults;
pub(crate) mod unreadable;
