//! The seam to the local disk: every byte outside SQLite goes through [`Fs`].
//!
//! The trait says what is asked of a disk and nothing else, so that a test can put a disk there that counts, fails or
//! forgets what was not flushed. The real one is [`LocalFs`](crate::LocalFs). All of it blocks, except where it says not.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// What is asked of a local disk. Paths are absolute; no method follows a symbolic link at the end of its path.
pub trait Fs: fmt::Debug + Send + Sync {
    /// Makes a folder and those above it; what exists already stays.
    ///
    /// # Errors
    ///
    /// What the system said.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;

    /// Makes an empty file that must not exist yet, for appending.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::AlreadyExists`], or what the system said.
    fn create_file(&self, path: &Path) -> io::Result<Box<dyn WriteFile>>;

    /// Opens a regular file for reading.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::InvalidInput`] for anything but a regular file, or what the system said. It never waits for the
    /// other end of a pipe.
    fn open_file(&self, path: &Path) -> io::Result<Arc<dyn ReadFile>>;

    /// Flushes the names in a folder to the disk.
    ///
    /// # Errors
    ///
    /// What the system said.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;

    /// Removes a file, or a symbolic link itself.
    ///
    /// # Errors
    ///
    /// What the system said.
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Removes an empty folder.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::DirectoryNotEmpty`], or what the system said.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;

    /// Gives a file or a folder another name, on the same disk. A file that has the name already is replaced at once.
    ///
    /// # Errors
    ///
    /// What the system said.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Lists what a folder holds, in no order.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::NotADirectory`] for a symbolic link, or what the system said.
    fn list(&self, path: &Path) -> io::Result<Vec<Entry>>;

    /// Takes the lock on a file, which is made if it is missing; `None` if somebody holds it.
    ///
    /// # Errors
    ///
    /// What the system said.
    fn try_lock(&self, path: &Path) -> io::Result<Option<FileLock>>;
}

/// A file being written, from its beginning to its end.
pub trait WriteFile: Send + Sync {
    /// Appends all of `bytes`.
    ///
    /// # Errors
    ///
    /// What the system said; some of the bytes may have been written.
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Flushes the content and the length of the file to the disk.
    ///
    /// # Errors
    ///
    /// What the system said. Nothing is known of the content then; writing it again elsewhere is the only remedy.
    fn sync(&mut self) -> io::Result<()>;
}

/// A file open for reading at any place.
pub trait ReadFile: Send + Sync {
    /// Fills `bytes` from `offset` on.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::UnexpectedEof`] if the file ends before, or what the system said.
    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()>;

    /// Fills `bytes` from `offset` on if that does not wait for the disk, and says whether it did.
    ///
    /// If not, `bytes` holds nothing of use, and [`read_at`](Self::read_at) fills it or says why it cannot.
    fn read_cached_at(&self, offset: u64, bytes: &mut [u8]) -> bool {
        let _ = (offset, bytes);
        false
    }

    /// Returns the length of the file, in bytes.
    ///
    /// # Errors
    ///
    /// What the system said.
    fn len(&self) -> io::Result<u64>;

    /// Says whether the file has no byte.
    ///
    /// # Errors
    ///
    /// What the system said.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
}

/// One name in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name, without the folder. Names that are not UTF-8 are not listed: Cayenne never makes one.
    pub name: String,
    /// Whether it is a folder; a symbolic link is none.
    pub is_dir: bool,
    /// The length of a file in bytes; 0 for anything else.
    pub bytes: u64,
}

/// A lock of the operating system, free again when this is dropped or the process dies.
pub struct FileLock {
    _held: Box<dyn Send + Sync>,
}

impl FileLock {
    /// Returns a lock that is free again when `held` is dropped.
    #[must_use]
    pub fn holding(held: impl Send + Sync + 'static) -> Self {
        Self { _held: Box::new(held) }
    }
}

impl fmt::Debug for FileLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileLock").finish_non_exhaustive()
    }
}
