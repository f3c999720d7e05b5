//! Which snapshots somebody reads. Nothing that a pinned snapshot names is removed.

use std::collections::BTreeMap;
use std::sync::Arc;

use cayenne_format::{Sequence, TableId};
use parking_lot::Mutex;

use crate::readers::ReaderRegistry;

/// Counts the readers of each snapshot of one table in this process, and tells other processes of them unless this one
/// is the writer.
#[derive(Clone, Debug)]
pub(crate) struct Pins(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    table: TableId,
    registry: Arc<ReaderRegistry>,
    readers: Mutex<Readers>,
}

#[derive(Debug, Default)]
struct Readers {
    counts: BTreeMap<Sequence, Count>,
    /// The table was dropped: who reads may go on, nobody begins.
    closed: bool,
    /// This process is the writer, so nobody else removes anything.
    is_writer: bool,
}

#[derive(Debug, Default)]
struct Count {
    pins: usize,
    announced: bool,
    /// It was found that the snapshot is kept since the others could know of it: so it stays.
    is_safe: bool,
}

impl Pins {
    pub(crate) fn new(table: TableId, registry: Arc<ReaderRegistry>) -> Self {
        Self(Arc::new(Inner { table, registry, readers: Mutex::default() }))
    }

    /// Takes a pin on the snapshot that `choose` returns, or returns `None` if the table was dropped.
    ///
    /// Choosing and pinning are one step, so that no removal in this process comes between them.
    pub(crate) fn pin<T>(&self, choose: impl FnOnce() -> (Sequence, T)) -> Option<(Pin, T)> {
        let mut readers = self.0.readers.lock();
        if readers.closed {
            return None;
        }
        let (sequence, chosen) = choose();
        let is_writer = readers.is_writer;
        let count = readers.counts.entry(sequence).or_default();
        count.pins += 1;
        count.is_safe |= is_writer;
        if !is_writer && !count.announced {
            count.announced = self.0.registry.announce(self.0.table, sequence);
        }
        let is_safe = count.is_safe;
        Some((Pin { sequence, is_safe, pins: Arc::clone(&self.0) }, chosen))
    }

    /// Lets nobody begin to read from now on, and says whether nobody does.
    pub(crate) fn close(&self) -> bool {
        let mut readers = self.0.readers.lock();
        readers.closed = true;
        readers.counts.is_empty()
    }

    /// Returns the earliest snapshot that is read in this process.
    pub(crate) fn oldest(&self) -> Option<Sequence> {
        self.0.readers.lock().counts.keys().next().copied()
    }

    /// Says whether this process is the writer of the table.
    pub(crate) fn is_writer(&self) -> bool {
        self.0.readers.lock().is_writer
    }

    /// Notes that this process has become the writer, or is no longer: then the others have to know what it reads.
    pub(crate) fn set_writer(&self, is_writer: bool) {
        let mut readers = self.0.readers.lock();
        readers.is_writer = is_writer;
        if is_writer {
            return;
        }
        for (sequence, count) in readers.counts.iter_mut().filter(|(_, count)| !count.announced) {
            count.announced = self.0.registry.announce(self.0.table, *sequence);
        }
    }
}

/// Keeps the files of one snapshot alive until it is dropped.
#[derive(Debug)]
pub struct Pin {
    sequence: Sequence,
    is_safe: bool,
    pins: Arc<Inner>,
}

impl Pin {
    /// Returns the sequence of the pinned snapshot.
    #[must_use]
    pub fn sequence(&self) -> Sequence {
        self.sequence
    }

    /// Says whether no writer elsewhere can have given the snapshot up before it could know of this pin.
    pub(crate) fn is_safe(&self) -> bool {
        self.is_safe
    }

    /// Notes that the snapshot was kept after this pin was taken.
    pub(crate) fn set_safe(&self) {
        if let Some(count) = self.pins.readers.lock().counts.get_mut(&self.sequence) {
            count.is_safe = true;
        }
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let Inner { table, registry, readers } = self.pins.as_ref();
        let mut readers = readers.lock();
        let Some(count) = readers.counts.get_mut(&self.sequence) else { return };
        count.pins -= 1;
        if count.pins > 0 {
            return;
        }
        let announced = count.announced;
        readers.counts.remove(&self.sequence);
        if announced {
            registry.withdraw(*table, self.sequence);
        }
    }
}

#[cfg(test)]
mod tests {
    use cayenne_format::RandomIds;
    use cayenne_storage::{Fs as _, LocalFs};

    use super::*;

    fn left(folder: &std::path::Path) -> usize {
        LocalFs.list(folder).unwrap().len()
    }

    fn pins(folder: &std::path::Path) -> Pins {
        let registry = ReaderRegistry::new(Arc::new(LocalFs), folder.to_owned(), Arc::new(RandomIds));
        Pins::new(TableId::from_bytes([1; 16]), Arc::new(registry))
    }

    fn sequence(number: u64) -> Sequence {
        Sequence::new(number).unwrap()
    }

    #[test]
    fn a_snapshot_is_pinned_until_its_last_reader_has_gone() {
        let folder = tempfile::tempdir().unwrap();
        let pins = pins(folder.path());
        let first = pins.pin(|| (Sequence::ZERO, ())).unwrap();
        let second = pins.pin(|| (Sequence::ZERO, ())).unwrap();
        drop(first);
        assert!(!pins.close());
        assert!(pins.pin(|| (Sequence::ZERO, ())).is_none(), "nobody begins to read a dropped table");
        drop(second);
        assert!(pins.close());
    }

    #[test]
    fn others_know_the_oldest_snapshot_that_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let (here, there) = (pins(folder.path()), pins(folder.path()));
        let oldest = |of: &Pins| of.0.registry.oldest_elsewhere(of.0.table).unwrap();
        assert_eq!(oldest(&here), None);
        let fifth = there.pin(|| (sequence(5), ())).unwrap();
        let third = there.pin(|| (sequence(3), ())).unwrap();
        assert_eq!((oldest(&here), oldest(&there)), (Some(sequence(3)), None), "a process knows of itself anyway");
        let other_table = TableId::from_bytes([2; 16]);
        assert_eq!(here.0.registry.oldest_elsewhere(other_table).unwrap(), None);
        drop(third);
        assert_eq!(oldest(&here), Some(sequence(5)));
        drop(fifth);
        assert_eq!(oldest(&here), None);
        there.0.registry.close();
        assert_eq!(left(folder.path()), 0, "nothing is left");
    }

    #[test]
    fn what_the_dead_have_left_says_nothing_and_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let (here, there) = (pins(folder.path()), pins(folder.path()));
        std::mem::forget(there.pin(|| (sequence(3), ())).unwrap());
        there.0.registry.die();
        assert_eq!(left(folder.path()), 2);
        assert_eq!(here.0.registry.oldest_elsewhere(here.0.table).unwrap(), None);
        assert_eq!(left(folder.path()), 0);
        drop(there.pin(|| (sequence(4), ())).unwrap());
        there.0.registry.die();
        assert_eq!(left(folder.path()), 1, "a lock that nobody holds");
        here.0.registry.remove_the_dead().unwrap();
        assert_eq!(left(folder.path()), 0);
    }

    #[test]
    fn a_writer_tells_of_its_readers_once_it_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let (here, there) = (pins(folder.path()), pins(folder.path()));
        there.set_writer(true);
        let pinned = there.pin(|| (sequence(3), ())).unwrap();
        assert!(pinned.0.is_safe());
        assert_eq!(here.0.registry.oldest_elsewhere(here.0.table).unwrap(), None);
        there.set_writer(false);
        assert_eq!(here.0.registry.oldest_elsewhere(here.0.table).unwrap(), Some(sequence(3)));
        drop(pinned);
        assert_eq!(here.0.registry.oldest_elsewhere(here.0.table).unwrap(), None);
    }

    #[test]
    fn a_reader_that_may_make_no_file_goes_on_without() {
        let folder = tempfile::tempdir().unwrap();
        drop(LocalFs.create_file(&folder.path().join("readers")).unwrap());
        let pins = pins(&folder.path().join("readers"));
        let (pin, ()) = pins.pin(|| (sequence(3), ())).unwrap();
        assert!(!pin.is_safe());
    }

    #[test]
    fn every_pin_is_unsafe_until_one_was_found_to_be_kept() {
        let folder = tempfile::tempdir().unwrap();
        let pins = pins(folder.path());
        let pin = || pins.pin(|| (sequence(3), ())).unwrap().0;
        let (first, second) = (pin(), pin());
        assert!(!first.is_safe() && !second.is_safe(), "the first has not been looked after yet");
        second.set_safe();
        assert!(pin().is_safe());
        drop((first, second));
        assert!(!pin().is_safe(), "nobody held it in between");
    }
}
