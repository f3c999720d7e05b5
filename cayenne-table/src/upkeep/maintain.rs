//! Background upkeep of tables, after writes and at intervals. One thread looks at all tables of a database, and begins
//! background work where there is any.

use crate::state::compaction::Marks;
use crate::state::maintenance::LookAfter;
use std::sync::Arc;
use std::time::Duration;

use cayenne_compaction::{File, decide, next};
use cayenne_format::FileId;

use crate::state::counters::Upkeep;
use crate::upkeep::passes::lacks_memory;
use crate::upkeep::rewrite::{Pace, is_race};
use crate::{Collected, Decline, Table};

/// How often orphan files are collected, which are left by writes that were not committed.
const COLLECT_EVERY: Duration = Duration::from_mins(5);
/// How many times in a row retired files are removed before other work has its turn.
const REMOVALS: usize = 3;
/// The minimum number of files in a pass, however little memory there is.
const FILES_MIN: usize = 2;

/// Why a table is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// The table was written.
    Write,
    /// The interval has passed.
    Time,
}

impl LookAfter for Table {
    fn look(self: Arc<Self>) {
        let may_begin = self.is_writer() && !self.shared.maintenance.is_closing();
        if may_begin && self.is_time_to_look() {
            // A flush may have failed, or rows may have come without a write, as staged rows do.
            Self::flush_if_full(&self);
            Self::begin_upkeep(&self, Cause::Time);
        }
    }
}

impl Table {
    /// Adds the table to background upkeep, if this is its first write. Begins upkeep, if the write has made that worth
    /// it.
    pub(crate) fn look_after(table: &Arc<Self>) {
        let maintenance = &table.shared.maintenance;
        if !maintenance.is_on() || maintenance.is_closing() {
            return;
        }
        if !std::mem::replace(&mut table.compaction.lock().is_looked_after, true) {
            let every = Duration::from_millis(table.options().compaction.background_interval_ms);
            let table: Arc<dyn LookAfter> = Arc::clone(table) as _;
            maintenance.add(Arc::downgrade(&table), every);
        }
        let view = table.view.load_full();
        let marks = Some(Marks::of(view.snapshot()));
        let was = std::mem::replace(&mut table.compaction.lock().looked_at, marks);
        if was != marks || table.retired.lock().has_new() {
            Self::begin_upkeep(table, Cause::Write);
        }
    }

    fn is_time_to_look(&self) -> bool {
        let now = self.shared.environment.clock.elapsed();
        let every = Duration::from_millis(self.options().compaction.background_interval_ms);
        self.compaction.lock().schedule.is_time_to_look(now, every)
    }

    /// Begins the upkeep that is due, if there is any.
    fn begin_upkeep(table: &Arc<Self>, cause: Cause) {
        if !table.is_writer() {
            return;
        }
        let is_worth_a_pass = table.is_worth_a_pass();
        let (is_to_expire, is_to_collect) = match cause {
            Cause::Write => (false, false),
            // If no retention time is set, the commits that remove files expire snapshots.
            Cause::Time => (table.options().retention.seconds > 0, table.is_time_to_collect()),
        };
        let is_to_remove = match cause {
            // Files that are still read or kept are tried again after the interval, and not by every write.
            Cause::Write => table.retired.lock().has_new(),
            Cause::Time => !table.retired.lock().is_empty(),
        };
        if !is_worth_a_pass && !is_to_expire && !is_to_collect && !is_to_remove {
            return;
        }
        let work = || Arc::clone(table).upkeep(is_worth_a_pass, is_to_expire, is_to_collect);
        if let Err(error) = table.compacting.begin("cayenne-compact", work) {
            tracing::warn!(%error, table = %table.name(), "the table was not put in shape");
        }
    }

    /// Returns whether a pass is worth it. If not, records why.
    fn is_worth_a_pass(&self) -> bool {
        let now = self.shared.environment.clock.elapsed();
        if !self.compaction.lock().schedule.may_try(now) {
            self.decline(Decline::BackingOff, None);
            return false;
        }
        let (all, limits) = (self.files_to_compact(&self.view.load_full()), self.compaction_limits());
        let decided = decide(&self.without_too_large(&all), &limits);
        if decided.next.is_some() {
            return true;
        }
        if let Some(picked) = next(&all, &limits) {
            self.decline(Decline::OutOfMemory, Some(picked.reason));
            return false;
        }
        let applying = decided.findings.into_iter().find(|finding| finding.applies);
        let declined = if applying.is_some() { Decline::NotWorthIt } else { Decline::NoReason };
        self.decline(declined, applying.map(|finding| finding.reason));
        false
    }

    /// Returns the files except those that a recent pass had too little memory for.
    fn without_too_large(&self, files: &[File<FileId>]) -> Vec<File<FileId>> {
        let too_large = &self.compaction.lock().too_large;
        files.iter().filter(|file| !too_large.contains(&file.id)).cloned().collect()
    }

    /// Returns whether it is time to collect orphans. The first time is `COLLECT_EVERY` after the table was first
    /// looked at.
    fn is_time_to_collect(&self) -> bool {
        let now = self.shared.environment.clock.elapsed();
        let next = *self.compaction.lock().next_collection.get_or_insert(now.saturating_add(COLLECT_EVERY));
        now >= next
    }

    async fn upkeep(self: Arc<Self>, is_worth_a_pass: bool, is_to_expire: bool, is_to_collect: bool) {
        if is_worth_a_pass {
            self.compact_while_worth_it().await;
        }
        if self.shared.maintenance.is_closing() {
            return;
        }
        if is_to_expire {
            let expired = self.expire(self.options().retention).await;
            self.counters.note_upkeep(Upkeep::Expire, &expired);
            expired.inspect_err(|error| tracing::warn!(%error, "earlier snapshots were not given up")).ok();
        }
        for _ in 0..REMOVALS {
            self.remove_retired_or_warn().await;
            // Files that were retired meanwhile would otherwise wait for the interval.
            if !self.retired.lock().has_new() || self.shared.maintenance.is_closing() {
                break;
            }
        }
        if is_to_collect {
            self.collect_unless_written().await;
        }
    }

    /// Collects orphans, unless a write is under way at this moment: it does not wait for that. A write that begins
    /// meanwhile waits for it.
    async fn collect_unless_written(self: &Arc<Self>) {
        {
            let mut state = self.compaction.lock();
            state.next_collection = Some(self.shared.environment.clock.elapsed().saturating_add(COLLECT_EVERY));
            // There may be more memory now.
            state.too_large.clear();
        }
        let Ok(_alone) = Arc::clone(&self.unnamed_files).try_write_owned() else { return };
        let mut found = Collected::default();
        let collected = self.collect_alone(true, &mut found).await;
        self.counters.note_upkeep(Upkeep::Collect, &collected);
        match collected {
            Ok(()) => self.counters.note_reclaimed(found.files.len() as u64, found.bytes),
            Err(error) => tracing::warn!(%error, table = %self.name(), "left-overs were not removed"),
        }
    }

    /// Runs passes as long as they are worth it, but at most as many as there are levels: what is left waits for the
    /// next cause.
    async fn compact_while_worth_it(self: &Arc<Self>) {
        for _ in 0..self.compaction_limits().levels {
            // Turns are given in the order of the requests, so each table has its turn, however long the passes of
            // others take.
            let Ok(_turn) = self.shared.maintenance.turns.acquire().await else { return };
            if self.shared.maintenance.is_closing() || !self.compact_for_a_reason().await {
                return;
            }
        }
    }

    /// Runs one pass, and returns whether there may be more to do.
    async fn compact_for_a_reason(self: &Arc<Self>) -> bool {
        // A compaction on demand does all passes and may take long: waiting for it would keep a turn from other tables.
        let Ok(_one_at_a_time) = self.compact_turn.try_lock() else {
            self.decline(Decline::Busy, None);
            return false;
        };
        let mut limits = self.compaction_limits();
        let done = loop {
            let mut picked = Vec::new();
            let choose = |files: &[File<FileId>]| {
                let chosen = next(&self.without_too_large(files), &limits);
                picked = chosen.as_ref().map(|pick| pick.files.clone()).unwrap_or_default();
                chosen
            };
            let done = self.compact_once(choose, Pace::Beside).await;
            if !done.as_ref().is_err_and(lacks_memory) {
                break done;
            }
            if picked.len() > FILES_MIN {
                limits.files_per_pick = picked.len() / 2;
            } else {
                // Other files may fit.
                self.compaction.lock().too_large.extend(picked);
                limits = self.compaction_limits();
            }
        };
        // A pass that was committed, on demand or not, has been noted in the schedule already.
        if done.as_ref().is_err_and(|error| !is_race(error)) {
            self.compaction.lock().schedule.note_failure(self.shared.environment.clock.elapsed());
        }
        matches!(done, Ok(Some(_)))
    }
}
