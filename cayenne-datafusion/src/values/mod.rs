//! What the values of an `INSERT` become: defaults, and texts for the types that are stored as text.

pub(crate) mod default_keyword;
pub(crate) mod stored_text;
pub(crate) mod stored_text_calls;
