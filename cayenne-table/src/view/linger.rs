//! Ends pins that linger, a while after their last reader has gone.
//!
//! It is this process that ends them, so that no other one has to judge how old a pin is. One that is stopped, and not
//! ended, ends nothing: neither does it end what it reads.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;

use crate::task::Ticker;

/// The pins of a table, of which some linger.
pub(crate) trait Lingers: Send + Sync {
    /// Ends what lingered when this was called last, and says whether anything lingers still.
    fn sweep(&self) -> bool;

    /// Ends what lingers.
    fn end(&self);
}

/// The tables of one process whose pins linger. Its thread is there only while there are any.
pub(crate) struct Lingering {
    interval: Duration,
    swept: Arc<Mutex<Swept>>,
}

/// Whoever holds it may lock the pins of a table, and not the other way round.
#[derive(Default)]
struct Swept {
    /// Each of them once.
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
    /// Pins linger for `time` at most, and for half of it at least; for no time if it is zero.
    pub(crate) fn new(time: Duration) -> Self {
        Self { interval: time / 2, swept: Arc::default() }
    }

    /// Takes on a table whose pin begins to linger, and says whether its end is seen to.
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

    /// Ends what lingers; from now on nothing does.
    pub(crate) fn close(&self) {
        let mut swept = self.swept.lock();
        swept.is_closed = true;
        swept.thread = None;
        swept.tables.drain(..).filter_map(|table| table.upgrade()).for_each(|table| table.end());
    }
}

impl Swept {
    /// Ends what has lingered for long enough, and says whether there is more to come.
    fn sweep(&mut self) -> bool {
        self.tables.retain(|table| table.upgrade().is_some_and(|table| table.sweep()));
        if self.tables.is_empty() {
            self.thread = None;
        }
        self.thread.is_some()
    }
}
