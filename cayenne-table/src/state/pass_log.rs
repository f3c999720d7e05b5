//! What is remembered of passes, and of looks that came to none: what was done, and why nothing was.

use std::collections::VecDeque;
use std::time::Duration;

use cayenne_compaction::Reason;
use cayenne_format::{Error, Sequence, Timestamp};

/// So many records of each table are kept.
const KEPT: usize = 256;

/// What became of a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PassOutcome {
    /// It goes on.
    Running,
    /// It was committed.
    Committed,
    /// Another commit took its files away, as an overwrite does.
    Conflict,
    /// There was none, or it was given up before it changed anything: see [`Decline`].
    Skipped,
    /// It failed; it is tried again later.
    Failed,
    /// It was given up because the database was closed.
    Cancelled,
}

impl PassOutcome {
    /// Returns the word for it.
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
    /// A reason applies, and each of its files is more than half as large again as the next smaller one: they wait for more.
    NotWorthIt,
    /// The memory pool has no room for it; fewer files are tried, and then others. It is tried again after five minutes.
    OutOfMemory,
    /// A pass has failed, and it is not tried again so soon.
    BackingOff,
    /// Somebody compacts the table on demand.
    Busy,
}

impl Decline {
    /// Returns the words for it.
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

/// A pass of this process, or a look at the table that came to none.
#[derive(Clone, Debug)]
pub struct PassRecord {
    /// When it began; of looks that came to the same, the last of them.
    pub began_at: Timestamp,
    /// How long it took, or has taken so far.
    pub took: Duration,
    /// What became of it.
    pub outcome: PassOutcome,
    /// Why there was a pass, or would have been.
    pub reason: Option<Reason>,
    /// What it did, if it was committed.
    pub compacted: Option<Compacted>,
    /// Why there was none, if it was skipped.
    pub declined: Option<Decline>,
    /// Why it was not committed, if it began.
    pub error: Option<Error>,
    /// How many looks one after the other came to this; 1 for a pass.
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

/// The last records of one table, and the pass that goes on, with when it began as the clock counts.
#[derive(Debug, Default)]
pub(crate) struct PassLog {
    pub(crate) records: VecDeque<PassRecord>,
    pub(crate) running: Option<(PassRecord, Duration)>,
}

impl PassLog {
    /// Looks that come to the same one after the other are one record.
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
    /// Why.
    pub reason: Reason,
    /// The number of data files that were read, and are no longer part of the table.
    pub inputs: usize,
    /// Their bytes.
    pub bytes_read: u64,
    /// The number of data files that were written.
    pub outputs: usize,
    /// Their bytes.
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
