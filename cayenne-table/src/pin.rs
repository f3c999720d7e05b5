//! Which snapshots somebody reads. Nothing that a pinned snapshot names is removed.

use std::collections::BTreeMap;
use std::sync::Arc;

use cayenne_format::Sequence;
use parking_lot::Mutex;

/// Counts the readers of each snapshot of one table.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pins {
    readers: Arc<Mutex<Readers>>,
}

#[derive(Debug, Default)]
struct Readers {
    counts: BTreeMap<Sequence, usize>,
    /// The table was dropped: who reads may go on, nobody begins.
    closed: bool,
}

impl Pins {
    /// Takes a pin on the snapshot that `choose` returns, or returns `None` if the table was dropped.
    ///
    /// Choosing and pinning are one step, so that no removal comes between them.
    pub(crate) fn pin<T>(&self, choose: impl FnOnce() -> (Sequence, T)) -> Option<(Pin, T)> {
        let mut readers = self.readers.lock();
        if readers.closed {
            return None;
        }
        let (sequence, chosen) = choose();
        *readers.counts.entry(sequence).or_default() += 1;
        Some((Pin { sequence, readers: Arc::clone(&self.readers) }, chosen))
    }

    /// Lets nobody begin to read from now on, and says whether nobody does.
    pub(crate) fn close(&self) -> bool {
        let mut readers = self.readers.lock();
        readers.closed = true;
        readers.counts.is_empty()
    }
}

/// Keeps the files of one snapshot alive until it is dropped.
#[derive(Debug)]
pub struct Pin {
    sequence: Sequence,
    readers: Arc<Mutex<Readers>>,
}

impl Pin {
    /// Returns the sequence of the pinned snapshot.
    #[must_use]
    pub fn sequence(&self) -> Sequence {
        self.sequence
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut readers = self.readers.lock();
        if let Some(count) = readers.counts.get_mut(&self.sequence) {
            *count -= 1;
            if *count == 0 {
                readers.counts.remove(&self.sequence);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_pinned_until_its_last_reader_has_gone() {
        let pins = Pins::default();
        let first = pins.pin(|| (Sequence::ZERO, ())).unwrap();
        let second = pins.pin(|| (Sequence::ZERO, ())).unwrap();
        drop(first);
        assert!(!pins.close());
        assert!(pins.pin(|| (Sequence::ZERO, ())).is_none(), "nobody begins to read a dropped table");
        drop(second);
        assert!(pins.close());
    }
}
