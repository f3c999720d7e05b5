//! The log of compaction passes, and of looks at a table that began no pass and why.

use std::collections::VecDeque;
use std::time::Duration;

use cayenne_compaction::Reason;
use cayenne_format::{Error, Sequence, Timestamp};

/// Number of records that are kept for each table.
const KEPT: usize = 256;

/// The outcome of a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PassOutcome {
    /// The pass is running.
    Running,
    /// The pass was committed.
    Committed,
    /// Another commit, such as an overwrite, removed the files of the pass.
    Conflict,
    /// No pass began, or it was given up before it changed anything: see [`Decline`].
    Skipped,
    /// The pass failed. It is tried again later.
    Failed,
    /// The pass was given up because the database was closed.
    Cancelled,
}

impl PassOutcome {
    /// Returns the outcome as one word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Committed => "committed",
            Self::Conflict => "conflict",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Why a table was looked at and not compacted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decline {
    /// No reason applies.
    NoReason,
    /// A reason applies, but each of its files is more than 1.5 times as large as the next smaller one: they wait for
    /// more files.
    NotWorthIt,
    /// The memory pool has no room for the pass. Fewer files are tried, and then other files; the pass is tried again
    /// after five minutes.
    OutOfMemory,
    /// A pass has failed recently, and it is too early to try again.
    BackingOff,
    /// The table is being compacted on demand.
    Busy,
}

impl Decline {
    /// Returns a description of the reason.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoReason => "no reason applies",
            Self::NotWorthIt => "each file is more than 1.5 times as large as the next smaller one",
            Self::OutOfMemory => "out of memory",
            Self::BackingOff => "backing off after a failure",
            Self::Busy => "compacted on demand",
        }
    }
}

/// A pass of this process, or a look at the table that began no pass.
#[derive(Clone, Debug)]
pub struct PassRecord {
    /// When it began. For a series of looks with the same result, when the last of them began.
    pub began_at: Timestamp,
    /// How long it took, or has taken so far.
    pub took: Duration,
    /// The outcome.
    pub outcome: PassOutcome,
    /// The reason for the pass, or for a pass that was declined.
    pub reason: Option<Reason>,
    /// What it did, if it was committed.
    pub compacted: Option<Compacted>,
    /// Why there was no pass, if it was skipped.
    pub declined: Option<Decline>,
    /// Why it was not committed, if it began.
    pub error: Option<Error>,
    /// Number of consecutive looks with this result; 1 for a pass.
    pub times: u64,
}

impl PassRecord {
    fn is_look_like(&self, other: &Self) -> bool {
        self.error.is_none()
            && other.error.is_none()
            && self.declined.is_some()
            && (self.declined, self.reason) == (other.declined, other.reason)
    }
}

/// The last records of one table, and the running pass with its start as elapsed time of the clock.
#[derive(Debug, Default)]
pub(crate) struct PassLog {
    pub(crate) records: VecDeque<PassRecord>,
    pub(crate) running: Option<(PassRecord, Duration)>,
}

impl PassLog {
    /// Adds a record. Consecutive looks with the same result are one record.
    pub(crate) fn add(&mut self, record: PassRecord) {
        if let Some(last) = self.records.back_mut().filter(|last| last.is_look_like(&record)) {
            last.began_at = record.began_at;
            last.times = last.times.saturating_add(1);
            return;
        }
        if self.records.len() == KEPT {
            self.records.pop_front();
        }
        self.records.push_back(record);
    }
}

/// What one pass did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compacted {
    /// The reason for the pass.
    pub reason: Reason,
    /// The number of data files that were read, and are no longer part of the table.
    pub inputs: usize,
    /// The length of these files, in bytes.
    pub bytes_read: u64,
    /// The number of data files that were written.
    pub outputs: usize,
    /// The length of these files, in bytes.
    pub bytes_written: u64,
    /// The number of rows that were written.
    pub rows: u64,
    /// The number of hidden rows that were left out.
    pub rows_left_out: u64,
    /// The sequence of the table afterwards.
    pub sequence: Sequence,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(declined: Decline, at: i64) -> PassRecord {
        PassRecord {
            began_at: Timestamp(at),
            took: Duration::ZERO,
            outcome: PassOutcome::Skipped,
            reason: None,
            compacted: None,
            declined: Some(declined),
            error: None,
            times: 1,
        }
    }

    #[test]
    fn looks_that_come_to_the_same_are_one_record_and_the_earliest_go_first() {
        let mut log = PassLog::default();
        for at in 0..3 {
            log.add(look(Decline::NoReason, at));
        }
        log.add(look(Decline::NotWorthIt, 3));
        log.add(look(Decline::NoReason, 4));
        let found: Vec<_> = log.records.iter().map(|record| (record.began_at.0, record.times)).collect();
        assert_eq!(found, [(2, 3), (3, 1), (4, 1)]);
        for at in 0..2_000 {
            log.add(look(if at % 2 == 0 { Decline::Busy } else { Decline::NoReason }, at));
        }
        assert_eq!((log.records.len(), log.records.back().unwrap().began_at), (KEPT, Timestamp(1_999)));
    }

    #[test]
    fn passes_that_lack_memory_stay_apart() {
        let failed = |at| PassRecord { error: Some(Error::internal("no")), ..look(Decline::OutOfMemory, at) };
        let mut log = PassLog::default();
        log.add(failed(0));
        log.add(failed(1));
        assert_eq!(log.records.len(), 2);
    }
}
