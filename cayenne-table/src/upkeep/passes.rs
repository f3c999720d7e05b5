//! Records compaction passes, and looks at a table that began no pass.

use crate::Compacted;
use crate::Decline;
use crate::PassOutcome;
use crate::PassRecord;
use std::time::Duration;

use cayenne_compaction::Reason;
use cayenne_format::{Error, Result, Timestamp};

use crate::Table;
use crate::upkeep::rewrite::is_race;

/// A running pass. Dropping this ends its record, also if the caller stops waiting.
pub(crate) struct RunningPass<'a>(&'a Table);

impl Drop for RunningPass<'_> {
    fn drop(&mut self) {
        self.0.compaction.lock().log.running = None;
    }
}

/// Returns whether an operation failed for lack of memory.
pub(crate) fn lacks_memory(error: &Error) -> bool {
    error.stable_code() == "out-of-memory"
}

impl Table {
    /// Returns the passes of this process, and its looks that began no pass, latest last: the last 256 records and the
    /// running pass.
    #[must_use]
    pub fn passes(&self) -> Vec<PassRecord> {
        let now = self.shared.environment.clock.elapsed();
        let log = &self.compaction.lock().log;
        let running = log.running.as_ref();
        let running = running.map(|(record, began)| PassRecord { took: now.saturating_sub(*began), ..record.clone() });
        log.records.iter().cloned().chain(running).collect()
    }

    /// Records that a pass has begun, and when. It counts as running until the returned value is dropped.
    pub(crate) fn begin_pass(&self, reason: Reason, began_at: Timestamp, began: Duration) -> RunningPass<'_> {
        let (took, outcome) = (Duration::ZERO, PassOutcome::Running);
        let (compacted, declined, error) = (None, None, None);
        let record = PassRecord { began_at, took, outcome, reason: Some(reason), compacted, declined, error, times: 1 };
        self.counters.note_trigger(reason);
        self.compaction.lock().log.running = Some((record, began));
        RunningPass(self)
    }

    /// Records the outcome of a pass.
    pub(crate) fn remember(&self, reason: Reason, began_at: Timestamp, took: Duration, done: &Result<Compacted>) {
        let is_closing = self.shared.maintenance.is_closing();
        let (outcome, declined) = match done {
            Ok(_) => (PassOutcome::Committed, None),
            Err(_) if is_closing => (PassOutcome::Cancelled, None),
            Err(error) if is_race(error) => (PassOutcome::Conflict, None),
            Err(error) if lacks_memory(error) => (PassOutcome::Skipped, Some(Decline::OutOfMemory)),
            Err(error) => {
                // The rows are safe where they are.
                tracing::warn!(%error, table = %self.name(), "a pass failed");
                (PassOutcome::Failed, None)
            }
        };
        self.counters.note_pass(reason, outcome, took);
        if let Ok(compacted) = done {
            self.compaction.lock().schedule.note_success();
            self.counters.note_reclaimed_rows(compacted.rows_left_out);
        }
        let (compacted, error) = (done.as_ref().ok().cloned(), done.as_ref().err().cloned());
        let record = PassRecord { began_at, took, outcome, reason: Some(reason), compacted, declined, error, times: 1 };
        self.compaction.lock().log.add(record);
    }

    /// Records that the table was looked at and not compacted.
    pub(crate) fn decline(&self, declined: Decline, reason: Option<Reason>) {
        let (began_at, outcome) = (self.shared.environment.clock.now(), PassOutcome::Skipped);
        let (took, declined) = (Duration::ZERO, Some(declined));
        let record = PassRecord { began_at, took, outcome, reason, compacted: None, declined, error: None, times: 1 };
        self.compaction.lock().log.add(record);
    }
}
