//! Primary keys: how they are declared, and which keys a filter names.

pub(crate) mod declared;
pub(crate) mod lookup;
pub(crate) mod value;
