//! Telling the writers in other processes which snapshots this process reads.
//!
//! Each pinned snapshot is a file without content in the folder of readers, named by the reader, the table and the
//! sequence; one OS lock of the reader stands behind all of its files. A file whose reader's lock is free was left by a
//! process that has ended, and says nothing. So no clock decides who is alive, and nobody waits for anybody: a reader
//! makes its file first and then looks whether the snapshot is still kept, and a writer first says that a snapshot is no
//! longer kept and then looks for files.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cayenne_format::{Error, Ids, ReaderId, Result, Sequence, TableId, path};
use cayenne_storage::{Entry, FileLock, Fs};
use parking_lot::Mutex;

use crate::view::linger::Lingering;

/// How often a process tries to become known as a reader.
const REGISTER_TRIES: usize = 5;

/// The files of the readers of one database.
pub(crate) struct ReaderRegistry {
    fs: Arc<dyn Fs>,
    folder: PathBuf,
    ids: Arc<dyn Ids>,
    own: Mutex<Registration>,
    lingering: Lingering,
}

/// What this process is to the others.
#[derive(Debug, Default)]
enum Registration {
    /// It has pinned nothing yet.
    #[default]
    Unknown,
    /// Its lock is held until the database is closed.
    Registered { id: ReaderId, _lock: FileLock },
    /// It may not make files here: writers cannot know of it.
    Impossible,
}

impl fmt::Debug for ReaderRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReaderRegistry").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl ReaderRegistry {
    /// Returns the registry in `folder`, which is made when the first reader needs it. Pins linger for `linger` at most.
    pub(crate) fn new(fs: Arc<dyn Fs>, folder: PathBuf, ids: Arc<dyn Ids>, linger: Duration) -> Self {
        Self { fs, folder, ids, own: Mutex::default(), lingering: Lingering::new(linger) }
    }

    /// Returns what ends pins that linger.
    pub(crate) fn lingering(&self) -> &Lingering {
        &self.lingering
    }

    /// Tells that this process reads a snapshot, and returns whether others can know of it.
    pub(crate) fn announce(&self, table: TableId, sequence: Sequence) -> bool {
        let mut own = self.own.lock();
        if matches!(*own, Registration::Unknown) {
            *own = self.register();
        }
        let Registration::Registered { id, .. } = &*own else { return false };
        let made = self.fs.create_file(&self.folder.join(path::reader_pin(*id, table, sequence)));
        match made {
            Ok(_empty) => true,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => true,
            Err(error) => {
                tracing::warn!(%error, %table, %sequence, "other processes cannot know that a snapshot is read");
                false
            }
        }
    }

    fn register(&self) -> Registration {
        for _ in 0..REGISTER_TRIES {
            match self.try_register() {
                Ok(Some(registration)) => return registration,
                // Somebody took the new file for one of the dead before it was locked.
                Ok(None) => {}
                Err(error) => {
                    tracing::debug!(%error, "this process cannot register as a reader");
                    break;
                }
            }
        }
        Registration::Impossible
    }

    fn try_register(&self) -> io::Result<Option<Registration>> {
        let id = ReaderId::draw(self.ids.as_ref());
        let name = path::reader_lock(id);
        self.fs.create_dir_all(&self.folder)?;
        let lock = self.fs.try_lock(&self.folder.join(&name))?;
        // Whoever holds the lock and sees the file has it for good: removing it takes the lock.
        let is_there = self.fs.list(&self.folder)?.iter().any(|entry| entry.name == name);
        Ok(lock.filter(|_| is_there).map(|lock| Registration::Registered { id, _lock: lock }))
    }

    /// Removes what processes that have ended left here.
    pub(crate) fn remove_the_dead(&self) -> Result<()> {
        let own = self.own_id();
        for entry in self.entries()? {
            let pinned_by = path::parse_reader_pin(&entry.name).map(|(reader, ..)| reader);
            let Some(reader) = pinned_by.or_else(|| path::parse_reader_lock(&entry.name)) else { continue };
            if own != Some(reader) && !self.is_alive(reader)? && pinned_by.is_some() {
                self.remove(&entry.name);
            }
        }
        Ok(())
    }

    fn own_id(&self) -> Option<ReaderId> {
        match &*self.own.lock() {
            Registration::Registered { id, .. } => Some(*id),
            Registration::Unknown | Registration::Impossible => None,
        }
    }

    fn entries(&self) -> Result<Vec<Entry>> {
        match self.fs.list(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            listed => listed.map_err(|error| self.unreadable(error)),
        }
    }

    /// Tells that this process no longer reads a snapshot.
    pub(crate) fn withdraw(&self, table: TableId, sequence: Sequence) {
        if let Registration::Registered { id, .. } = &*self.own.lock() {
            self.remove(&path::reader_pin(*id, table, sequence));
        }
    }

    /// Returns the earliest snapshot of a table that another living process reads.
    pub(crate) fn oldest_elsewhere(&self, table: TableId) -> Result<Option<Sequence>> {
        let own = self.own_id();
        let mut oldest = None;
        for entry in self.entries()? {
            let Some((reader, pinned, sequence)) = path::parse_reader_pin(&entry.name) else { continue };
            if pinned != table || own == Some(reader) || oldest.is_some_and(|oldest| oldest <= sequence) {
                continue;
            }
            if self.is_alive(reader)? {
                oldest = Some(sequence);
            } else {
                self.remove(&entry.name);
            }
        }
        Ok(oldest)
    }

    fn is_alive(&self, reader: ReaderId) -> Result<bool> {
        let name = path::reader_lock(reader);
        let lock = self.fs.try_lock(&self.folder.join(&name)).map_err(|error| self.unreadable(error))?;
        if lock.is_some() {
            // Its process has ended; other files of it are found to be dead as well.
            self.remove(&name);
        }
        Ok(lock.is_none())
    }

    /// Ends the registration, and what lingers.
    pub(crate) fn close(&self) {
        self.lingering.close();
        if let Registration::Registered { id, .. } = std::mem::take(&mut *self.own.lock()) {
            self.remove(&path::reader_lock(id));
        }
    }

    fn remove(&self, name: &str) {
        let removed = self.fs.remove_file(&self.folder.join(name));
        // A file that stays belongs to a lock that is free one day, and then somebody else removes it.
        removed.inspect_err(|error| tracing::debug!(%error, name, "a file of a reader was left")).ok();
    }

    /// Does what the end of the process does.
    #[cfg(test)]
    pub(crate) fn die(&self) {
        *self.own.lock() = Registration::Unknown;
    }

    fn unreadable(&self, error: io::Error) -> Error {
        Error::io("cannot see who reads the tables", error).with("folder", self.folder.display())
    }
}
