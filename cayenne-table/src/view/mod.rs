//! Views, the immutable values that readers see, and the pins that keep their files.
//!
//! A view is a snapshot with the schema of its rows. Readers pin it; writers in other processes learn of the pins from
//! files. Nothing here reads a data file, and nothing here knows of tables or databases.

pub(crate) mod amplification;
pub(crate) mod current;
pub(crate) mod linger;
pub(crate) mod pin;
pub(crate) mod readers;
