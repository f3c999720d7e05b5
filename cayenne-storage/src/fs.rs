//! The interface to the local disk: every byte outside SQLite goes through [`Fs`].
//!
//! The trait has only the operations of a disk, so that a test can substitute a disk that counts, fails or forgets what
//! was not flushed. The real one is [`LocalFs`](crate::LocalFs). All methods block unless their documentation says
//! otherwise.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// The operations of a local disk. Paths are absolute; no method follows a symbolic link at the end of its path.
pub trait Fs: fmt::Debug + Send + Sync {
    /// Creates a folder and its parents; existing folders stay.
    ///
    /// # Errors
    ///
    /// The I/O error.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;

    /// Creates an empty file, which must not exist yet, for appending.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::AlreadyExists`], or another I/O error.
    fn create_file(&self, path: &Path) -> io::Result<Box<dyn WriteFile>>;

    /// Opens a regular file for reading.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::InvalidInput`] for anything but a regular file, or another I/O error. It never waits for the
    /// other end of a pipe.
    fn open_file(&self, path: &Path) -> io::Result<Arc<dyn ReadFile>>;

    /// Flushes the names in a folder to the disk.
    ///
    /// # Errors
    ///
    /// The I/O error.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;

    /// Removes a file, or a symbolic link itself.
    ///
    /// # Errors
    ///
    /// The I/O error.
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Removes an empty folder.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::DirectoryNotEmpty`], or another I/O error.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;

    /// Renames a file or a folder on the same disk. An existing file with the new name is replaced atomically.
    ///
    /// # Errors
    ///
    /// The I/O error.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Lists the entries of a folder, in no particular order.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::NotADirectory`] for a symbolic link, or another I/O error.
    fn list(&self, path: &Path) -> io::Result<Vec<Entry>>;

    /// Takes the lock on a file, which is created if it is missing; `None` if the lock is held already.
    ///
    /// # Errors
    ///
    /// The I/O error.
    fn try_lock(&self, path: &Path) -> io::Result<Option<FileLock>>;
}

/// A file being written, from its beginning to its end.
pub trait WriteFile: Send + Sync {
    /// Appends all of `bytes`.
    ///
    /// # Errors
    ///
    /// The I/O error; some of the bytes may have been written.
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Flushes the content and the length of the file to the disk.
    ///
    /// # Errors
    ///
    /// The I/O error. The content of the file is then unknown; writing it again elsewhere is the only remedy.
    fn sync(&mut self) -> io::Result<()>;
}

/// A file open for reading at any offset.
pub trait ReadFile: Send + Sync {
    /// Fills `bytes` from `offset` on.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::UnexpectedEof`] if the file ends too early, or another I/O error.
    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()>;

    /// Fills `bytes` from `offset` on if that does not wait for the disk, and says whether it did.
    ///
    /// If not, the content of `bytes` is undefined; [`read_at`](Self::read_at) fills it or reports the error.
    fn read_cached_at(&self, offset: u64, bytes: &mut [u8]) -> bool {
        let _ = (offset, bytes);
        false
    }

    /// Returns the length of the file, in bytes.
    ///
    /// # Errors
    ///
    /// The I/O error.
    fn len(&self) -> io::Result<u64>;

    /// Says whether the file is empty.
    ///
    /// # Errors
    ///
    /// The I/O error.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
}

/// One entry of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name, without the folder. Names that are not UTF-8 are not listed: Cayenne never makes one.
    pub name: String,
    /// Whether it is a folder; a symbolic link is not.
    pub is_dir: bool,
    /// The length of a file in bytes; 0 for anything else.
    pub bytes: u64,
}

/// A lock of the operating system. It is released when this is dropped or the process dies.
pub struct FileLock {
    _held: Box<dyn Send + Sync>,
}

impl FileLock {
    /// Returns a lock that is released when `held` is dropped.
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
