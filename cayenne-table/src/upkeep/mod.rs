//! What keeps a table in shape: flushing inline rows, compaction, expiring snapshots, removing files.
//!
//! Each works on demand, and in the background when `maintain` begins it. What happens after a crash is in `recovery`.

pub(crate) mod collect;
pub(crate) mod compact;
pub(crate) mod expire;
pub(crate) mod flush;
pub(crate) mod maintain;
pub(crate) mod passes;
pub(crate) mod retire;
pub(crate) mod rewrite;
