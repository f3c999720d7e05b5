//! Ends lingering pins a while after their last reader has finished.
//!
//! The process that holds the pins ends them itself, so that no other process has to judge how old a pin is. A process
//! that is stopped but has not ended ends none of its pins, whether they linger or not.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;

use crate::task::Ticker;

/// The pins of one table, some of which linger.
pub(crate) trait Lingers: Send + Sync {
    /// Ends the pins that lingered at the previous call already, and returns whether any pin still lingers.
    fn sweep(&self) -> bool;

    /// Ends all lingering pins.
    fn end(&self);
}

/// The tables of one process that have lingering pins. Its thread runs only while there are any.
pub(crate) struct Lingering {
    interval: Duration,
    swept: Arc<Mutex<Swept>>,
}

/// A holder of this lock may lock the pins of a table; a holder of those must not lock this.
#[derive(Default)]
struct Swept {
    /// Each table at most once.
    tables: Vec<Weak<dyn Lingers>>,
    thread: Option<Ticker>,
    is_closed: bool,
}

impl fmt::Debug for Lingering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lingering").field("interval", &self.interval).finish_non_exhaustive()
    }
}

impl Lingering {
    /// Pins linger for at most `time` and at least half of it. They do not linger if `time` is zero.
    pub(crate) fn new(time: Duration) -> Self {
        Self { interval: time / 2, swept: Arc::default() }
    }

    /// Adds a table whose pin begins to linger. Returns false if the pin will not be ended here: the caller must end
    /// it.
    pub(crate) fn add(&self, table: Weak<dyn Lingers>) -> bool {
        let mut swept = self.swept.lock();
        if self.interval.is_zero() || swept.is_closed {
            return false;
        }
        if swept.thread.is_none() {
            let all = Arc::clone(&self.swept);
            match Ticker::start("cayenne-unpin", self.interval, move || all.lock().sweep()) {
                Ok(thread) => swept.thread = Some(thread),
                Err(error) => {
                    tracing::debug!(%error, "pins do not linger");
                    return false;
                }
            }
        }
        swept.tables.push(table);
        true
    }

    /// Ends all lingering pins. From now on no pin lingers.
    pub(crate) fn close(&self) {
        let mut swept = self.swept.lock();
        swept.is_closed = true;
        swept.thread = None;
        swept.tables.drain(..).filter_map(|table| table.upgrade()).for_each(|table| table.end());
    }
}

impl Swept {
    /// Ends the pins that have lingered long enough, and returns whether the thread has to go on.
    fn sweep(&mut self) -> bool {
        self.tables.retain(|table| table.upgrade().is_some_and(|table| table.sweep()));
        if self.tables.is_empty() {
            self.thread = None;
        }
        self.thread.is_some()
    }
}
