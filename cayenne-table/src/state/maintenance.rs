//! Upkeep of all tables of a database: one thread that looks at each table at intervals, and turns that limit how many
//! tables are compacted at once.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use cayenne_compaction::Schedule;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::task::Ticker;

/// How many tables are compacted at once. With two, a long pass never keeps all other tables waiting.
const AT_ONCE: usize = 2;

/// A table that is looked after in the background.
pub(crate) trait LookAfter: Send + Sync {
    /// Begins background work, if it is due and there is any.
    fn look(self: Arc<Self>);
}

/// The thread and the turns that all tables of a database share for upkeep.
pub(crate) struct Maintenance {
    is_on: bool,
    pub(crate) turns: Semaphore,
    is_closing: AtomicBool,
    looked_after: Arc<Mutex<LookedAfter>>,
}

#[derive(Default)]
struct LookedAfter {
    /// Each table at most once.
    tables: Vec<Weak<dyn LookAfter>>,
    thread: Option<Ticker>,
    every: Duration,
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

    pub(crate) fn is_on(&self) -> bool {
        self.is_on
    }

    /// Returns how many more passes could run at this moment, and how many may run at once.
    pub(crate) fn permits(&self) -> (u64, u64) {
        (self.turns.available_permits() as u64, AT_ONCE as u64)
    }

    /// Returns whether background work is to end as soon as it can.
    pub(crate) fn is_closing(&self) -> bool {
        self.is_closing.load(Ordering::Acquire)
    }

    /// Begins no more work, and tells running work to end.
    pub(crate) fn close(&self) {
        self.is_closing.store(true, Ordering::Release);
        let mut looked_after = self.looked_after.lock();
        looked_after.tables.clear();
        looked_after.thread = None;
    }

    /// Looks after a table from now on, at intervals of about `every`. Does nothing if that is zero.
    pub(crate) fn add(&self, table: Weak<dyn LookAfter>, every: Duration) {
        if every.is_zero() {
            return;
        }
        let every = every.max(Schedule::EVERY_MIN);
        let mut looked_after = self.looked_after.lock();
        looked_after.tables.push(table);
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

/// Looks at all tables, and returns whether there are any.
fn look(all: &Mutex<LookedAfter>) -> bool {
    let tables: Vec<Arc<dyn LookAfter>> = {
        let mut all = all.lock();
        all.tables.retain(|table| table.strong_count() > 0);
        if all.tables.is_empty() {
            all.thread = None;
            return false;
        }
        all.tables.iter().filter_map(Weak::upgrade).collect()
    };
    tables.into_iter().for_each(LookAfter::look);
    true
}
