//! The disk of the machine: the only file that calls the file system.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::OFlags;
use rustix::io::Errno;
#[cfg(target_os = "linux")]
use rustix::io::ReadWriteFlags;

use crate::fs::{Entry, FileLock, Fs, ReadFile, WriteFile};

/// The disk of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct LocalFs;

/// Returns the flags that refuse a link at the end of a path, and open a pipe without waiting for its other end.
fn careful() -> i32 {
    (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed()
}

#[expect(clippy::disallowed_methods, reason = "this file is the wrapper that everything else uses")]
impl Fs for LocalFs {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    fn create_file(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        let file = OpenOptions::new().write(true).create_new(true).open(path)?;
        Ok(Box::new(LocalWriteFile(file)))
    }

    fn open_file(&self, path: &Path) -> io::Result<Arc<dyn ReadFile>> {
        let file = OpenOptions::new().read(true).custom_flags(careful()).open(path).map_err(name_links)?;
        if !file.metadata()?.is_file() {
            return Err(not_a_regular_file());
        }
        Ok(Arc::new(LocalReadFile(file)))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        if path.symlink_metadata()?.is_symlink() {
            return Err(io::Error::new(io::ErrorKind::NotADirectory, "it is a symbolic link"));
        }
        let mut entries = Vec::new();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            // `DirEntry::metadata` does not follow links.
            let metadata = match entry.metadata() {
                Ok(metadata) => metadata,
                // The entry was removed after the folder was read.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            let bytes = if metadata.is_file() { metadata.len() } else { 0 };
            entries.push(Entry { name, is_dir: metadata.is_dir(), bytes });
        }
        Ok(entries)
    }

    fn try_lock(&self, path: &Path) -> io::Result<Option<FileLock>> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .custom_flags(careful())
            .open(path)
            .map_err(name_links)?;
        if !file.metadata()?.is_file() {
            return Err(not_a_regular_file());
        }
        match file.try_lock() {
            Ok(()) => Ok(Some(FileLock::holding(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

fn not_a_regular_file() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file")
}

/// Replaces the system's message for a refused link ("too many levels of symbolic links"), which is misleading.
fn name_links(error: io::Error) -> io::Error {
    if error.raw_os_error() == Some(Errno::LOOP.raw_os_error()) {
        return io::Error::new(io::ErrorKind::InvalidInput, "it is a symbolic link");
    }
    error
}

struct LocalWriteFile(File);

impl WriteFile for LocalWriteFile {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_all()
    }
}

struct LocalReadFile(File);

impl ReadFile for LocalReadFile {
    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(bytes, offset)
    }

    /// Reads only what the page cache holds. On systems and file systems without this operation, it returns false.
    #[cfg(target_os = "linux")]
    fn read_cached_at(&self, offset: u64, bytes: &mut [u8]) -> bool {
        let wanted = bytes.len();
        let read = rustix::io::preadv2(&self.0, &mut [io::IoSliceMut::new(bytes)], offset, ReadWriteFlags::NOWAIT);
        read == Ok(wanted)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
}
