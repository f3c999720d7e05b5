//! The texts of the workspace, read once, and what checks find in them.
//!
//! `tidy` and the reference pages look at them; what is looked for is theirs.

mod finding;
mod fnv;
mod source;
mod workspace;

pub(crate) use self::finding::Finding;
pub(crate) use self::fnv::Fnv;

pub(crate) use self::source::{Source, is_word};
pub(crate) use self::workspace::{Crate, Need, Tree};
