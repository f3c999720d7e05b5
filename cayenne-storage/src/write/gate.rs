//! Lets the blocking threads of one write work until the write is over, and records the files that they create.
//!
//! A write that fails removes its files. It must not miss one that a thread is just creating, so it closes the gate
//! first: threads inside finish, and no other enters. A write that is dropped closes the gate without waiting.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cayenne_format::{Environment, Error, ErrorKind, Result, Step};
use parking_lot::{Mutex, RwLock};

use crate::beside;
use crate::fs::{Fs, WriteFile};

#[derive(Debug)]
pub(crate) struct Gate {
    fs: Arc<dyn Fs>,
    environment: Environment,
    is_closed: AtomicBool,
    inside: RwLock<()>,
    created: Mutex<Vec<PathBuf>>,
}

impl Gate {
    pub(crate) fn new(fs: Arc<dyn Fs>, environment: Environment) -> Self {
        Self {
            fs,
            environment,
            is_closed: AtomicBool::new(false),
            inside: RwLock::default(),
            created: Mutex::default(),
        }
    }

    /// Does `work` unless the write is over.
    pub(crate) fn pass<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let _inside = self.inside.read();
        work()
    }

    /// Runs the hook before a step. Once the gate is closed, this fails and no step is taken.
    pub(crate) fn before(&self, step: Step) -> Result<()> {
        if self.is_closed.load(Ordering::Acquire) {
            return Err(Error::unavailable("the write was given up"));
        }
        self.environment.steps.before(step)
    }

    pub(crate) fn create_file(&self, path: &Path) -> Result<Box<dyn WriteFile>> {
        self.before(Step::CreateDataFile)?;
        self.noted(path, || {
            self.fs.create_file(path).map_err(|error| match error.kind() {
                std::io::ErrorKind::AlreadyExists => {
                    Error::already_exists("a file is where a new data file should be").because(error)
                }
                _ => Error::io("could not create a data file", error),
            })
        })
    }

    /// Writes a small file at once, creates the folder of the table that contains it, and flushes the file to disk.
    pub(crate) fn write_whole(&self, table: &Path, path: &Path, bytes: &[u8]) -> Result<()> {
        let failed = |error| Error::io("could not write a file of the table", error).with("file", path.display());
        self.before(Step::CreateDataFile)?;
        let mut file = self.noted(path, || beside::create(self.fs.as_ref(), table, path))?;
        self.before(Step::WriteDataFile)?;
        file.write_all(bytes).map_err(failed)?;
        self.before(Step::SyncDataFile)?;
        file.sync().map_err(failed)
    }

    /// Creates a file that is removed if the write fails.
    fn noted(&self, path: &Path, create: impl FnOnce() -> Result<Box<dyn WriteFile>>) -> Result<Box<dyn WriteFile>> {
        // Recorded first: after an error it is unknown whether the name exists.
        self.created.lock().push(path.to_owned());
        create().map_err(|error| {
            // Ids are never reused, so the existing file is not ours to remove.
            if error.kind() == ErrorKind::AlreadyExists {
                self.created.lock().retain(|created| created != path);
            }
            error.with("file", path.display())
        })
    }

    /// Prevents every further step.
    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
    }

    /// Closes the gate, waits for the threads inside, and removes the files that they created, as far as possible.
    pub(crate) fn close_and_remove(&self) {
        self.close();
        let _nobody_inside = self.inside.write();
        for path in self.created.lock().drain(..) {
            if let Err(error) = self.fs.remove_file(&path)
                && error.kind() != std::io::ErrorKind::NotFound
            {
                tracing::warn!(file = %path.display(), %error, "could not remove a file of a failed write");
            }
        }
    }
}

/// Closes a gate when the write it belongs to is dropped.
pub(crate) struct CloseOnDrop(pub(crate) Arc<Gate>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::LocalFs;

    #[test]
    fn a_failed_write_removes_what_it_made_and_no_file_that_was_there_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join("_keys").join(name);
        let gate = || Gate::new(Arc::new(LocalFs), Environment::default());
        gate().write_whole(folder.path(), &path("older.keys"), b"older").unwrap();

        let failed = gate();
        failed.write_whole(folder.path(), &path("newer.keys"), b"newer").unwrap();
        for taken in [
            failed.write_whole(folder.path(), &path("older.keys"), b"other").unwrap_err(),
            failed.create_file(&path("older.keys")).err().unwrap(),
        ] {
            assert_eq!(taken.kind(), ErrorKind::AlreadyExists);
        }
        failed.close_and_remove();

        let mut older = vec![0; 5];
        LocalFs.open_file(&path("older.keys")).unwrap().read_at(0, &mut older).unwrap();
        assert_eq!(older, b"older");
        assert!(!path("newer.keys").exists());
    }
}
