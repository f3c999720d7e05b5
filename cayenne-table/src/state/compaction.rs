//! The compaction state of one table.

use std::collections::HashSet;
use std::time::Duration;

use cayenne_compaction::Schedule;
use cayenne_format::{FileId, Snapshot};

use super::pass_log::PassLog;

/// The compaction state of one table.
#[derive(Debug, Default)]
pub(crate) struct CompactionState {
    pub(crate) is_looked_after: bool,
    pub(crate) looked_at: Option<Marks>,
    pub(crate) schedule: Schedule,
    /// Data files that a pass had too little memory for, alone or as one of two.
    pub(crate) too_large: HashSet<FileId>,
    /// When orphan files are to be collected next, as elapsed time of the clock.
    pub(crate) next_collection: Option<Duration>,
    pub(crate) log: PassLog,
}

/// Numbers of a snapshot. Unless a write changes them, it is not worth looking at all files again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Marks {
    files: u64,
    /// The share of hidden rows, in percent.
    hidden: u64,
}

impl Marks {
    pub(crate) fn of(snapshot: &Snapshot) -> Self {
        let files = (snapshot.files().len() as u64).saturating_sub(snapshot.inline().files);
        let hidden = snapshot.hidden_rows().saturating_mul(100) / snapshot.stored_rows().max(1);
        Self { files, hidden }
    }
}
