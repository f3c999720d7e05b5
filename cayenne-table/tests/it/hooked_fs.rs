//! A file system that calls a hook of the test before each operation.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cayenne_storage::{Entry, FileLock, Fs, LocalFs, ReadFile, WriteFile};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Create,
    Write,
    Sync,
    Open,
    Read,
    List,
    Remove,
    /// A file that was opened for reading is closed.
    Close,
}

type Hook = dyn Fn(Asked, &Path) -> io::Result<()> + Send + Sync;

/// Fails an operation if the hook fails, and waits while the hook waits.
#[derive(Clone)]
pub(crate) struct HookedFs(Arc<Hook>);

impl HookedFs {
    pub(crate) fn new(hook: impl Fn(Asked, &Path) -> io::Result<()> + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self(Arc::new(hook)))
    }
}

impl fmt::Debug for HookedFs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HookedFs")
    }
}

impl Fs for HookedFs {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        LocalFs.create_dir_all(path)
    }

    fn create_file(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        (self.0)(Asked::Create, path)?;
        let inner = LocalFs.create_file(path)?;
        Ok(Box::new(Hooked { inner, path: path.to_owned(), hook: Arc::clone(&self.0) }))
    }

    fn open_file(&self, path: &Path) -> io::Result<Arc<dyn ReadFile>> {
        (self.0)(Asked::Open, path)?;
        let inner = LocalFs.open_file(path)?;
        Ok(Arc::new(HookedReads(Hooked { inner, path: path.to_owned(), hook: Arc::clone(&self.0) })))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        (self.0)(Asked::Sync, path)?;
        LocalFs.sync_dir(path)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        (self.0)(Asked::Remove, path)?;
        LocalFs.remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        LocalFs.remove_dir(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        LocalFs.rename(from, to)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        (self.0)(Asked::List, path)?;
        LocalFs.list(path)
    }

    fn try_lock(&self, path: &Path) -> io::Result<Option<FileLock>> {
        LocalFs.try_lock(path)
    }
}

struct Hooked<T> {
    inner: T,
    path: PathBuf,
    hook: Arc<Hook>,
}

impl WriteFile for Hooked<Box<dyn WriteFile>> {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        (self.hook)(Asked::Write, &self.path)?;
        self.inner.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        (self.hook)(Asked::Sync, &self.path)?;
        self.inner.sync()
    }
}

struct HookedReads(Hooked<Arc<dyn ReadFile>>);

impl ReadFile for HookedReads {
    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        (self.0.hook)(Asked::Read, &self.0.path)?;
        self.0.inner.read_at(offset, bytes)
    }

    fn len(&self) -> io::Result<u64> {
        self.0.inner.len()
    }
}

impl Drop for HookedReads {
    fn drop(&mut self) {
        (self.0.hook)(Asked::Close, &self.0.path).ok();
    }
}
