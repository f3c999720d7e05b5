//! What is known of the compaction of one table.

use std::collections::HashSet;
use std::time::Duration;

use cayenne_compaction::Schedule;
use cayenne_format::{FileId, Snapshot};

use super::pass_log::PassLog;

/// What is known of the compaction of one table.
#[derive(Debug, Default)]
pub(crate) struct CompactionState {
    pub(crate) is_looked_after: bool,
    pub(crate) looked_at: Option<Marks>,
    pub(crate) schedule: Schedule,
    /// Data files that a pass has lacked memory for, alone or as one of two.
    pub(crate) too_large: HashSet<FileId>,
    /// When left-overs are to be looked for next; as the clock counts.
    pub(crate) next_collection: Option<Duration>,
    pub(crate) log: PassLog,
}

/// Unless these change, it is not worth looking at all files again after a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Marks {
    files: u64,
    /// How many of a hundred rows are hidden.
    hidden: u64,
}

impl Marks {
    pub(crate) fn of(snapshot: &Snapshot) -> Self {
        let files = (snapshot.files().len() as u64).saturating_sub(snapshot.inline().files);
        let hidden = snapshot.hidden_rows().saturating_mul(100) / snapshot.stored_rows().max(1);
        Self { files, hidden }
    }
}
