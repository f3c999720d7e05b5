//! What all tables of a database share to look after themselves: one thread that looks at each now and then, and turns, so
//! that few are compacted at once.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use cayenne_compaction::Schedule;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::task::Ticker;

/// So many tables are compacted at once. With two, a long pass never keeps all other tables waiting.
const AT_ONCE: usize = 2;

/// What is looked after: a table.
pub(crate) trait LookAfter: Send + Sync {
    /// Begins work in the background, if it is time to and there is some.
    fn look(self: Arc<Self>);
}

/// What all tables of a database share to look after themselves.
pub(crate) struct Maintenance {
    is_on: bool,
    pub(crate) turns: Semaphore,
    is_closing: AtomicBool,
    looked_after: Arc<Mutex<LookedAfter>>,
}

#[derive(Default)]
struct LookedAfter {
    /// Each of them once.
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

    /// Returns how many passes more could run at this moment, and how many at all.
    pub(crate) fn permits(&self) -> (u64, u64) {
        (self.turns.available_permits() as u64, AT_ONCE as u64)
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

    /// Looks after a table from now on, every so often.
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

/// Looks at all tables, and says whether there are any.
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
