//! State that handles keep between statements: caches, counters, schedules, and the state of a writer.
//!
//! These are values and the rules that keep them consistent. Nothing here reads or writes a table.

pub(crate) mod compaction;
pub(crate) mod counters;
pub(crate) mod hidden_rows;
pub(crate) mod key_codec;
pub(crate) mod key_indexes;
pub(crate) mod maintenance;
pub(crate) mod manifested;
pub(crate) mod pass_log;
pub(crate) mod recovered;
pub(crate) mod retired;
pub(crate) mod writer;
