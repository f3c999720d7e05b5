//! Pins: which snapshots are read. No file that a pinned snapshot names is removed.
//!
//! In a process that does not write the table, the last pin of a snapshot lingers after its reader has finished: the
//! next reader of the same snapshot then touches no file and does not query the metastore. A lingering pin counts for
//! other processes only, not for this one.

use std::collections::BTreeMap;
use std::sync::Arc;

use cayenne_format::{Sequence, TableId};
use parking_lot::Mutex;

use crate::view::linger::Lingers;
use crate::view::readers::ReaderRegistry;

/// Counts the readers of each snapshot of one table in this process. Announces them to other processes, unless this
/// process is the writer.
#[derive(Clone, Debug)]
pub(crate) struct Pins(Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    table: TableId,
    registry: Arc<ReaderRegistry>,
    readers: Mutex<Readers>,
}

#[derive(Debug, Default)]
struct Readers {
    /// The snapshots that have pins, and at most one that has none: its pin lingers.
    counts: BTreeMap<Sequence, Count>,
    /// The lingering pin has been handed to the thread that ends it.
    is_swept: bool,
    /// The table was dropped: its readers may go on, no new one may begin.
    closed: bool,
    /// This process is the writer, so no other process removes files.
    is_writer: bool,
}

#[derive(Debug, Default)]
struct Count {
    pins: usize,
    announced: bool,
    /// The snapshot was found to be kept after other processes could know of the pin, so it stays.
    is_safe: bool,
    /// The pin was lingering already at the last sweep.
    was_idle: bool,
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
        count.was_idle = false;
        count.is_safe |= is_writer;
        if !is_writer && !count.announced {
            count.announced = self.0.registry.announce(self.0.table, sequence);
        }
        let is_safe = count.is_safe;
        self.0.end_lingering(&mut readers, |lingering, _| lingering < sequence);
        Some((Pin { sequence, is_safe, pins: Arc::clone(&self.0) }, chosen))
    }

    /// Refuses new readers from now on. Returns true if nothing is pinned.
    pub(crate) fn close(&self) -> bool {
        let mut readers = self.0.readers.lock();
        readers.closed = true;
        self.0.end_lingering(&mut readers, |_, _| true);
        readers.counts.is_empty()
    }

    /// Returns whether the table was dropped.
    pub(crate) fn is_closed(&self) -> bool {
        self.0.readers.lock().closed
    }

    /// Returns the earliest snapshot that has a reader in this process. A lingering pin is not a reader.
    pub(crate) fn oldest(&self) -> Option<Sequence> {
        let readers = self.0.readers.lock();
        readers.counts.iter().find(|(_, count)| count.pins > 0).map(|(sequence, _)| *sequence)
    }

    /// Returns whether a snapshot can be pinned without asking the metastore whether it is kept.
    pub(crate) fn is_safe(&self, sequence: Sequence) -> bool {
        let readers = self.0.readers.lock();
        !readers.closed && readers.counts.get(&sequence).is_some_and(|count| count.is_safe)
    }

    /// Returns whether this process is the writer of the table.
    pub(crate) fn is_writer(&self) -> bool {
        self.0.readers.lock().is_writer
    }

    /// Notes that this process has become the writer, or is no longer the writer. In the second case, it announces its
    /// pins to the other processes.
    pub(crate) fn set_writer(&self, is_writer: bool) {
        let mut readers = self.0.readers.lock();
        readers.is_writer = is_writer;
        if is_writer {
            // From here on this process expires snapshots itself, and its own lingering pins do not count: one could
            // outlive its snapshot.
            self.0.end_lingering(&mut readers, |_, _| true);
            return;
        }
        for (sequence, count) in readers.counts.iter_mut().filter(|(_, count)| !count.announced) {
            count.announced = self.0.registry.announce(self.0.table, *sequence);
            // A fenced writer learns of it late: another writer may have expired the snapshot before it could know of
            // this pin.
            count.is_safe = false;
        }
    }
}

impl Inner {
    /// Ends the lingering pins for which `ends` returns true.
    fn end_lingering(&self, readers: &mut Readers, ends: impl Fn(Sequence, &Count) -> bool) {
        readers.counts.retain(|sequence, count| {
            let ends = count.pins == 0 && ends(*sequence, count);
            if ends && count.announced {
                self.registry.withdraw(self.table, *sequence);
            }
            !ends
        });
    }

    /// Removes one reader from a snapshot. The last reader may leave a lingering pin. Returns true if the caller has to
    /// make sure that this pin ends.
    fn unpin(&self, sequence: Sequence) -> bool {
        let mut readers = self.readers.lock();
        let Some(count) = readers.counts.get_mut(&sequence) else { return false };
        count.pins -= 1;
        if count.pins > 0 {
            return false;
        }
        let others_know = count.announced && count.is_safe;
        // The next reader does not ask for an earlier snapshot.
        let is_latest = readers.counts.last_key_value().is_some_and(|(latest, _)| *latest == sequence);
        if others_know && is_latest && !readers.is_writer && !readers.closed {
            return !std::mem::replace(&mut readers.is_swept, true);
        }
        self.end_lingering(&mut readers, |lingering, _| lingering == sequence);
        false
    }
}

impl Lingers for Inner {
    fn sweep(&self) -> bool {
        let mut readers = self.readers.lock();
        self.end_lingering(&mut readers, |_, count| count.was_idle);
        let mut lingers = false;
        for count in readers.counts.values_mut().filter(|count| count.pins == 0) {
            count.was_idle = true;
            lingers = true;
        }
        readers.is_swept = lingers;
        lingers
    }

    fn end(&self) {
        let mut readers = self.readers.lock();
        self.end_lingering(&mut readers, |_, _| true);
        readers.is_swept = false;
    }
}

impl Drop for Inner {
    /// The last handle and the last pin of the table are gone from this process: only lingering pins are left to
    /// withdraw.
    fn drop(&mut self) {
        for (sequence, count) in &self.readers.get_mut().counts {
            if count.announced {
                self.registry.withdraw(self.table, *sequence);
            }
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

    /// Returns whether no writer in another process can have expired the snapshot before it could know of this pin.
    pub(crate) fn is_safe(&self) -> bool {
        self.is_safe
    }

    /// Notes that the snapshot was still kept after this pin was taken.
    pub(crate) fn set_safe(&self) {
        if let Some(count) = self.pins.readers.lock().counts.get_mut(&self.sequence) {
            count.is_safe = true;
        }
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        if !self.pins.unpin(self.sequence) {
            return;
        }
        let pins: Arc<dyn Lingers> = Arc::clone(&self.pins) as _;
        if !self.pins.registry.lingering().add(Arc::downgrade(&pins)) {
            pins.end();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use cayenne_format::RandomIds;
    use cayenne_storage::{Fs as _, LocalFs};

    use super::*;

    fn left(folder: &std::path::Path) -> usize {
        LocalFs.list(folder).unwrap().len()
    }

    fn pins(folder: &std::path::Path) -> Pins {
        lingering_pins(folder, Duration::ZERO)
    }

    fn lingering_pins(folder: &std::path::Path, time: Duration) -> Pins {
        let registry = ReaderRegistry::new(Arc::new(LocalFs), folder.to_owned(), Arc::new(RandomIds), time);
        Pins::new(TableId::from_bytes([1; 16]), Arc::new(registry))
    }

    /// Pins a snapshot for a moment, as a reader that has found it to be kept. Returns whether the pin was safe before.
    fn read(pins: &Pins, at: u64) -> bool {
        let (pin, ()) = pins.pin(|| (sequence(at), ())).unwrap();
        let was_safe = pin.is_safe();
        pin.set_safe();
        was_safe
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

    const HOUR: Duration = Duration::from_hours(1);

    #[test]
    fn a_pin_lingers_for_others_until_it_was_looked_at_twice() {
        let folder = tempfile::tempdir().unwrap();
        let (here, there) = (pins(folder.path()), lingering_pins(folder.path(), HOUR));
        let oldest = || here.0.registry.oldest_elsewhere(here.0.table).unwrap();
        assert!(!read(&there, 3));
        assert_eq!((oldest(), there.oldest()), (Some(sequence(3)), None));
        assert!(there.is_safe(sequence(3)) && read(&there, 3), "nobody has to be asked again");
        assert!(there.0.sweep());
        assert!(read(&there, 3), "it is read again, and lingers anew");
        assert!(there.0.sweep());
        assert_eq!(oldest(), Some(sequence(3)));
        assert!(!there.0.sweep());
        assert_eq!(oldest(), None);
        assert!(!there.is_safe(sequence(3)) && !read(&there, 3), "others may have given it up");
    }

    #[test]
    fn what_is_read_is_never_swept_away() {
        let folder = tempfile::tempdir().unwrap();
        let (here, there) = (pins(folder.path()), lingering_pins(folder.path(), HOUR));
        read(&there, 3);
        let held = there.pin(|| (sequence(3), ())).unwrap();
        for _ in 0..3 {
            assert!(!there.0.sweep());
        }
        there.0.end();
        assert_eq!(here.0.registry.oldest_elsewhere(here.0.table).unwrap(), Some(sequence(3)));
        assert_eq!(there.oldest(), Some(sequence(3)));
        drop(held);
    }

    #[test]
    fn only_the_latest_snapshot_lingers() {
        let folder = tempfile::tempdir().unwrap();
        let (here, there) = (pins(folder.path()), lingering_pins(folder.path(), HOUR));
        let oldest = || here.0.registry.oldest_elsewhere(here.0.table).unwrap();
        read(&there, 3);
        read(&there, 5);
        assert_eq!(oldest(), Some(sequence(5)), "3 gave way");
        read(&there, 4);
        assert_eq!(oldest(), Some(sequence(5)), "4 was withdrawn at once");
        assert_eq!(left(folder.path()), 2, "the lock, and one pin");
    }

    #[test]
    fn a_pin_that_nobody_was_told_to_be_kept_does_not_linger() {
        let folder = tempfile::tempdir().unwrap();
        let there = lingering_pins(folder.path(), HOUR);
        drop(there.pin(|| (sequence(3), ())).unwrap());
        assert_eq!(left(folder.path()), 1, "only the lock");
    }

    #[test]
    fn nothing_lingers_in_a_writer_after_a_drop_a_close_or_the_last_handle() {
        let ends: [fn(Pins); 4] =
            [|pins| pins.set_writer(true), |pins| assert!(pins.close()), |pins| pins.0.registry.close(), drop];
        for end in ends {
            let folder = tempfile::tempdir().unwrap();
            let (here, there) = (pins(folder.path()), lingering_pins(folder.path(), HOUR));
            read(&there, 3);
            assert_eq!(here.0.registry.oldest_elsewhere(here.0.table).unwrap(), Some(sequence(3)));
            let registry = Arc::clone(&there.0.registry);
            end(there);
            assert_eq!(here.0.registry.oldest_elsewhere(here.0.table).unwrap(), None);
            registry.close();
            assert_eq!(left(folder.path()), 0);
        }
    }
}
