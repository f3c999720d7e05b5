//! Tells the writers in other processes which snapshots this process reads.
//!
//! Each pinned snapshot is an empty file in the folder of readers, named by the reader, the table and the sequence. One
//! OS lock per reader stands behind all of its files: if the lock is free, the process has ended and its files do not
//! count. So no clock decides which process is alive, and no process waits for another. A reader first creates its file
//! and then checks whether the snapshot is still kept; a writer first records that a snapshot is no longer kept and
//! then looks for files.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cayenne_format::{Error, Ids, ReaderId, Result, Sequence, TableId, path};
use cayenne_storage::{Entry, FileLock, Fs};
use parking_lot::Mutex;

use crate::view::linger::Lingering;

/// How often a process tries to register as a reader.
const REGISTER_TRIES: usize = 5;

/// The lock files and pin files of the readers of one database.
pub(crate) struct ReaderRegistry {
    fs: Arc<dyn Fs>,
    folder: PathBuf,
    ids: Arc<dyn Ids>,
    own: Mutex<Registration>,
    lingering: Lingering,
}

/// How other processes know this process as a reader.
#[derive(Debug, Default)]
enum Registration {
    /// It has pinned nothing yet.
    #[default]
    Unknown,
    /// Its lock is held until the database is closed.
    Registered { id: ReaderId, _lock: FileLock },
    /// It cannot create files in the folder, so writers cannot know of it.
    Impossible,
}

impl fmt::Debug for ReaderRegistry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReaderRegistry").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl ReaderRegistry {
    /// Returns the registry in `folder`, which is created when the first reader needs it. Pins linger for at most
    /// `linger`.
    pub(crate) fn new(fs: Arc<dyn Fs>, folder: PathBuf, ids: Arc<dyn Ids>, linger: Duration) -> Self {
        Self { fs, folder, ids, own: Mutex::default(), lingering: Lingering::new(linger) }
    }

    /// Returns the component that ends lingering pins.
    pub(crate) fn lingering(&self) -> &Lingering {
        &self.lingering
    }

    /// Creates the pin file of a snapshot. Returns whether other processes can know of the pin.
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
                // Another process took the new file for that of an ended process before it was locked.
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
        // If this process holds the lock and the file is there, it stays: removing the file takes the lock.
        let is_there = self.fs.list(&self.folder)?.iter().any(|entry| entry.name == name);
        Ok(lock.filter(|_| is_there).map(|lock| Registration::Registered { id, _lock: lock }))
    }

    /// Removes the files that ended processes have left here.
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

    /// Removes the pin file of a snapshot.
    pub(crate) fn withdraw(&self, table: TableId, sequence: Sequence) {
        if let Registration::Registered { id, .. } = &*self.own.lock() {
            self.remove(&path::reader_pin(*id, table, sequence));
        }
    }

    /// Returns the earliest snapshot of a table that another live process has pinned.
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
            // The process has ended. A check of its other files comes to the same.
            self.remove(&name);
        }
        Ok(lock.is_none())
    }

    /// Ends the registration and all lingering pins.
    pub(crate) fn close(&self) {
        self.lingering.close();
        if let Registration::Registered { id, .. } = std::mem::take(&mut *self.own.lock()) {
            self.remove(&path::reader_lock(id));
        }
    }

    fn remove(&self, name: &str) {
        let removed = self.fs.remove_file(&self.folder.join(name));
        // If the file stays, another process removes it once the lock is free.
        removed.inspect_err(|error| tracing::debug!(%error, name, "a file of a reader was left")).ok();
    }

    /// Simulates the end of the process.
    #[cfg(test)]
    pub(crate) fn die(&self) {
        *self.own.lock() = Registration::Unknown;
    }

    fn unreadable(&self, error: io::Error) -> Error {
        Error::io("cannot see who reads the tables", error).with("folder", self.folder.display())
    }
}
