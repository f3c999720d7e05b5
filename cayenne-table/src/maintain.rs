//! Tables look after themselves: after writes, and now and then. One thread looks after all tables of a database, and
//! begins work in the background where there is some.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use cayenne_compaction::next;
use cayenne_format::{Error, Result, Snapshot, Timestamp};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::compact::Compacted;
use crate::rewrite::{Pace, is_race};
use crate::task::Ticker;
use crate::{Table, View};

/// So many tables are compacted at once. With two, a long pass never keeps all other tables waiting.
const AT_ONCE: usize = 2;
/// So many passes of each table are remembered.
const REMEMBERED: usize = 256;
/// After a failure it is not tried again for a second, and for twice as long after each further one, up to this.
const BACK_OFF_MAX: Duration = Duration::from_mins(5);
/// No table is looked at more often, whatever its options say.
const EVERY_MIN: Duration = Duration::from_millis(10);

/// What became of a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PassOutcome {
    /// It was committed.
    Committed,
    /// Another commit took its files away, as an overwrite does.
    Conflict,
    /// It failed; it is tried again later.
    Failed,
}

impl PassOutcome {
    /// Returns the word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Committed => "committed",
            Self::Conflict => "conflict",
            Self::Failed => "failed",
        }
    }
}

/// A pass of this process.
#[derive(Clone, Debug)]
pub struct PassRecord {
    /// When it began.
    pub began_at: Timestamp,
    /// How long it took.
    pub took: Duration,
    /// What became of it.
    pub outcome: PassOutcome,
    /// What it did, if it was committed.
    pub compacted: Option<Compacted>,
    /// Why it was not.
    pub error: Option<Error>,
}

/// What all tables of a database share to look after themselves.
pub(crate) struct Maintenance {
    is_on: bool,
    turns: Semaphore,
    is_closing: AtomicBool,
    looked_after: Arc<Mutex<LookedAfter>>,
}

#[derive(Default)]
struct LookedAfter {
    /// Each of them once.
    tables: Vec<Weak<Table>>,
    thread: Option<Ticker>,
    every: Duration,
}

/// What is known of the compaction of one table.
#[derive(Debug, Default)]
pub(crate) struct CompactionState {
    is_looked_after: bool,
    looked_at: Option<Marks>,
    /// When it is to be looked at next, and not before; as the clock counts.
    next_look: Duration,
    not_before: Duration,
    failures: u32,
    passes: VecDeque<PassRecord>,
}

/// Unless these change, it is not worth looking at all files again after a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Marks {
    files: u64,
    /// How many of a hundred rows are hidden.
    hidden: u64,
}

impl Marks {
    fn of(snapshot: &Snapshot) -> Self {
        let files = (snapshot.files().len() as u64).saturating_sub(snapshot.inline().files);
        let hidden = snapshot.hidden_rows().saturating_mul(100) / snapshot.stored_rows().max(1);
        Self { files, hidden }
    }
}

impl fmt::Debug for Maintenance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Maintenance").field("is_on", &self.is_on).finish_non_exhaustive()
    }
}

impl Maintenance {
    pub(crate) fn new(is_on: bool) -> Self {
        let (turns, is_closing) = (Semaphore::new(AT_ONCE), AtomicBool::new(false));
        Self { is_on, turns, is_closing, looked_after: Arc::default() }
    }

    /// Says whether work in the background is to end as soon as it can.
    pub(crate) fn is_closing(&self) -> bool {
        self.is_closing.load(Ordering::Acquire)
    }

    /// Begins nothing more, and lets what goes on end.
    pub(crate) fn close(&self) {
        self.is_closing.store(true, Ordering::Release);
        let mut looked_after = self.looked_after.lock();
        looked_after.tables.clear();
        looked_after.thread = None;
    }

    fn add(&self, table: &Arc<Table>) {
        let every = Duration::from_millis(table.options().compaction.background_interval_ms);
        if every.is_zero() {
            return;
        }
        let every = every.max(EVERY_MIN);
        let mut looked_after = self.looked_after.lock();
        looked_after.tables.push(Arc::downgrade(table));
        if looked_after.thread.is_some() && looked_after.every <= every {
            return;
        }
        let all = Arc::clone(&self.looked_after);
        match Ticker::start("cayenne-upkeep", every, move || look(&all)) {
            Ok(thread) => {
                looked_after.thread = Some(thread);
                looked_after.every = every;
            }
            Err(error) => tracing::warn!(%error, "tables are looked after when they are written only"),
        }
    }
}

/// Looks at all tables, and says whether there are any.
fn look(all: &Mutex<LookedAfter>) -> bool {
    let tables: Vec<_> = {
        let mut all = all.lock();
        all.tables.retain(|table| table.strong_count() > 0);
        if all.tables.is_empty() {
            all.thread = None;
            return false;
        }
        all.tables.iter().filter_map(Weak::upgrade).collect()
    };
    for table in tables {
        if table.is_time_to_look() {
            Table::compact_if_worth_it(&table);
        }
    }
    true
}

impl Table {
    /// Returns the passes of this process, latest last: the last 256.
    #[must_use]
    pub fn passes(&self) -> Vec<PassRecord> {
        self.compaction.lock().passes.iter().cloned().collect()
    }

    /// Begins to look after the table, if this is its first write; and to compact it, if the write has made that worth it.
    pub(crate) fn look_after(table: &Arc<Self>) {
        let maintenance = &table.shared.maintenance;
        if !maintenance.is_on || maintenance.is_closing() {
            return;
        }
        if !std::mem::replace(&mut table.compaction.lock().is_looked_after, true) {
            maintenance.add(table);
        }
        let view = table.view.load_full();
        let marks = Some(Marks::of(view.snapshot()));
        let was = std::mem::replace(&mut table.compaction.lock().looked_at, marks);
        if was != marks {
            Self::compact_if_worth_it(table);
        }
    }

    fn is_time_to_look(&self) -> bool {
        let now = self.shared.environment.clock.elapsed();
        let every = Duration::from_millis(self.options().compaction.background_interval_ms);
        let mut state = self.compaction.lock();
        let is_time = now >= state.next_look;
        if is_time {
            state.next_look = now + every;
        }
        is_time
    }

    fn compact_if_worth_it(table: &Arc<Self>) {
        let is_too_early = table.shared.environment.clock.elapsed() < table.compaction.lock().not_before;
        let is_worth_it = || table.has_retired() || table.is_worth_compacting(&table.view.load_full());
        if is_too_early || !table.is_writer() || !is_worth_it() {
            return;
        }
        if let Err(error) = table.compacting.begin("cayenne-compact", || Arc::clone(table).compact_while_worth_it()) {
            tracing::warn!(%error, table = %table.name(), "the table was not compacted");
        }
    }

    fn is_worth_compacting(&self, view: &View) -> bool {
        next(&self.files_to_compact(view), &self.compaction_limits()).is_some()
    }

    /// One cause starts some passes and no more: what is left waits for the next cause.
    async fn compact_while_worth_it(self: Arc<Self>) {
        for _ in 0..self.compaction_limits().levels {
            // In the order in which they asked: so each table has its turn, however long the passes of others are.
            let Ok(_turn) = self.shared.maintenance.turns.acquire().await else { return };
            if self.shared.maintenance.is_closing() || !self.compact_for_a_reason().await {
                break;
            }
        }
        if !self.shared.maintenance.is_closing() {
            self.remove_retired_or_warn().await;
        }
    }

    /// Does one pass, and says whether there may be more to do.
    async fn compact_for_a_reason(self: &Arc<Self>) -> bool {
        // Whoever compacts the table on demand does all of it, and may take long: waiting would keep a turn from others.
        let Ok(_one_at_a_time) = self.compact_turn.try_lock() else { return false };
        let limits = self.compaction_limits();
        let done = self.compact_once(|files| next(files, &limits), Pace::Beside).await;
        let has_failed = done.as_ref().is_err_and(|error| !is_race(error));
        let mut state = self.compaction.lock();
        if has_failed {
            let wait = Duration::from_secs(1).saturating_mul(1 << state.failures.min(16)).min(BACK_OFF_MAX);
            state.not_before = self.shared.environment.clock.elapsed() + wait;
            state.failures += 1;
        } else {
            state.failures = 0;
        }
        matches!(done, Ok(Some(_)))
    }

    /// Remembers a pass. One that ends because the database is closed is none.
    pub(crate) fn remember(&self, began_at: Timestamp, took: Duration, done: &Result<Compacted>) {
        let (outcome, compacted, error) = match done {
            Ok(compacted) => (PassOutcome::Committed, Some(compacted.clone()), None),
            Err(_) if self.shared.maintenance.is_closing() => return,
            Err(error) if is_race(error) => (PassOutcome::Conflict, None, Some(error.clone())),
            Err(error) => {
                // The rows are safe where they are.
                tracing::warn!(%error, table = %self.name(), "a pass failed");
                (PassOutcome::Failed, None, Some(error.clone()))
            }
        };
        let mut state = self.compaction.lock();
        if state.passes.len() == REMEMBERED {
            state.passes.pop_front();
        }
        state.passes.push_back(PassRecord { began_at, took, outcome, compacted, error });
    }
}
