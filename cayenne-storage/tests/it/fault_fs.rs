//! A disk that records the requests to it and refuses one chosen request.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cayenne_storage::{Entry, FileLock, Fs, LocalFs, ReadFile, WriteFile};
use parking_lot::Mutex;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    CreateDir,
    Create(PathBuf),
    Write(u64),
    SyncFile,
    SyncDir(PathBuf),
    Open(PathBuf),
    Read,
    Remove(PathBuf),
    RemoveDir,
    Rename,
    List,
    Lock,
}

#[derive(Debug, Default)]
struct State {
    asked: Mutex<Vec<Asked>>,
    /// Which request from now on is refused, and how.
    refuse: Mutex<Option<(usize, io::ErrorKind)>>,
    write_ms: AtomicU64,
}

impl State {
    fn ask(&self, asked: Asked) -> io::Result<()> {
        // The requests by which a failed write cleans up are not refused.
        let is_cleaning = matches!(asked, Asked::Remove(_));
        self.asked.lock().push(asked);
        let mut refuse = self.refuse.lock();
        match refuse.as_mut() {
            Some((0, kind)) if !is_cleaning => {
                let kind = *kind;
                *refuse = None;
                Err(kind.into())
            }
            Some((left, _)) if !is_cleaning => {
                *left -= 1;
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct FaultFs(Arc<State>);

impl FaultFs {
    pub(crate) fn refuse(&self, after: usize, kind: io::ErrorKind) {
        *self.0.refuse.lock() = Some((after, kind));
    }

    /// Says whether the requested refusal has yet to happen.
    pub(crate) fn refuses(&self) -> bool {
        self.0.refuse.lock().is_some()
    }

    pub(crate) fn slow(&self, write: Duration) {
        self.0.write_ms.store(u64::try_from(write.as_millis()).unwrap(), Ordering::Relaxed);
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.0.asked.lock().clone()
    }

    pub(crate) fn clear(&self) {
        self.0.asked.lock().clear();
    }
}

impl Fs for FaultFs {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.0.ask(Asked::CreateDir)?;
        LocalFs.create_dir_all(path)
    }

    fn create_file(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        self.0.ask(Asked::Create(path.to_owned()))?;
        Ok(Box::new(FaultWriteFile(LocalFs.create_file(path)?, Arc::clone(&self.0))))
    }

    fn open_file(&self, path: &Path) -> io::Result<Arc<dyn ReadFile>> {
        self.0.ask(Asked::Open(path.to_owned()))?;
        Ok(Arc::new(FaultReadFile(LocalFs.open_file(path)?, Arc::clone(&self.0))))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.0.ask(Asked::SyncDir(path.to_owned()))?;
        LocalFs.sync_dir(path)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.0.ask(Asked::Remove(path.to_owned()))?;
        LocalFs.remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.0.ask(Asked::RemoveDir)?;
        LocalFs.remove_dir(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.ask(Asked::Rename)?;
        LocalFs.rename(from, to)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        self.0.ask(Asked::List)?;
        LocalFs.list(path)
    }

    fn try_lock(&self, path: &Path) -> io::Result<Option<FileLock>> {
        self.0.ask(Asked::Lock)?;
        LocalFs.try_lock(path)
    }
}

struct FaultWriteFile(Box<dyn WriteFile>, Arc<State>);

impl WriteFile for FaultWriteFile {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        std::thread::sleep(Duration::from_millis(self.1.write_ms.load(Ordering::Relaxed)));
        self.1.ask(Asked::Write(bytes.len() as u64))?;
        self.0.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.1.ask(Asked::SyncFile)?;
        self.0.sync()
    }
}

struct FaultReadFile(Arc<dyn ReadFile>, Arc<State>);

impl ReadFile for FaultReadFile {
    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.1.ask(Asked::Read)?;
        self.0.read_at(offset, bytes)
    }

    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
}
