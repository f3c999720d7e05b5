//! Defaults of columns: their text, and the values it stands for.

pub(crate) mod defaults;
pub(crate) mod unreadable;
