//! What the handles remember between statements: caches, counters, schedules, and what a writer holds.
//!
//! Values with the rules that keep them true, and nothing that reads or writes a table.

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
