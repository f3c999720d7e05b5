//! The content of a folder, byte for byte, and a file system that fails at a given request.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use cayenne_storage::{Entry, FileLock, Fs, LocalFs, ReadFile, WriteFile};

/// Every file and folder below a folder. The shared-memory files of SQLite, which any reader creates, do not count.
pub(crate) type Tree = BTreeMap<PathBuf, Option<Vec<u8>>>;

pub(crate) fn tree(root: &Path) -> Tree {
    let mut found = Tree::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let below = path.strip_prefix(root).unwrap().to_owned();
            let kind = path.symlink_metadata().unwrap();
            if kind.is_dir() {
                found.insert(below, None);
                folders.push(path);
            } else if !path.to_string_lossy().ends_with("-shm") {
                let content = if kind.is_symlink() { vec![] } else { std::fs::read(&path).unwrap() };
                found.insert(below, Some(content));
            }
        }
    }
    found
}

/// Returns the files of `before` that exist neither in their place nor moved aside with the same bytes.
pub(crate) fn lost(before: &Tree, root: &Path) -> Vec<PathBuf> {
    let after = tree(root);
    let is_there = |path: &Path, bytes: &Vec<u8>| {
        let same = |at: &PathBuf| after.get(at).is_some_and(|found| found.as_ref() == Some(bytes));
        let aside = after.keys().filter(|at| at.starts_with("aside") && at.components().count() == 2);
        same(&path.to_owned()) || aside.map(|folder| folder.join(path)).any(|at| same(&at))
    };
    let files = before.iter().filter_map(|(path, bytes)| bytes.as_ref().map(|bytes| (path, bytes)));
    files.filter(|(path, bytes)| !is_there(path, bytes)).map(|(path, _)| path.clone()).collect()
}

/// Returns a copy of a database as its process leaves it when it ends without closing.
pub(crate) fn as_left_by_a_crash(root: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for (path, bytes) in tree(root) {
        match bytes {
            None => std::fs::create_dir_all(copy.path().join(path)).unwrap(),
            Some(bytes) => std::fs::write(copy.path().join(path), bytes).unwrap(),
        }
    }
    copy
}

/// A file system that refuses one request, or all requests from that one on, as at the end of the process.
#[derive(Clone, Debug, Default)]
pub(crate) struct FailingFs(Arc<Failing>);

#[derive(Debug)]
struct Failing {
    left: AtomicUsize,
    for_ever: AtomicBool,
    has_refused: AtomicBool,
}

impl Default for Failing {
    fn default() -> Self {
        Self {
            left: AtomicUsize::new(usize::MAX),
            for_ever: AtomicBool::new(false),
            has_refused: AtomicBool::new(false),
        }
    }
}

impl FailingFs {
    /// Refuses the one request that comes after `after` others.
    pub(crate) fn refuse_one(&self, after: usize) {
        self.0.for_ever.store(false, Ordering::SeqCst);
        self.0.left.store(after, Ordering::SeqCst);
    }

    /// Refuses all requests after the first `after`.
    pub(crate) fn die(&self, after: usize) {
        self.0.for_ever.store(true, Ordering::SeqCst);
        self.0.left.store(after, Ordering::SeqCst);
    }

    /// Works again from now on, and returns whether it has refused anything.
    pub(crate) fn heal(&self) -> bool {
        self.0.left.store(usize::MAX, Ordering::SeqCst);
        self.0.has_refused.swap(false, Ordering::SeqCst)
    }

    fn ask(&self) -> io::Result<()> {
        let for_ever = self.0.for_ever.load(Ordering::SeqCst);
        let next = |left: usize| Some(if left == 0 && for_ever { 0 } else { left.wrapping_sub(1) });
        if self.0.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, next) != Ok(0) {
            return Ok(());
        }
        self.0.has_refused.store(true, Ordering::SeqCst);
        Err(io::ErrorKind::StorageFull.into())
    }
}

impl Fs for FailingFs {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.ask()?;
        LocalFs.create_dir_all(path)
    }

    fn create_file(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        self.ask()?;
        Ok(Box::new(FailingFile(LocalFs.create_file(path)?, self.clone())))
    }

    fn open_file(&self, path: &Path) -> io::Result<Arc<dyn ReadFile>> {
        self.ask()?;
        LocalFs.open_file(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.ask()?;
        LocalFs.sync_dir(path)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.ask()?;
        LocalFs.remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.ask()?;
        LocalFs.remove_dir(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.ask()?;
        LocalFs.rename(from, to)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        self.ask()?;
        LocalFs.list(path)
    }

    fn try_lock(&self, path: &Path) -> io::Result<Option<FileLock>> {
        self.ask()?;
        LocalFs.try_lock(path)
    }
}

struct FailingFile(Box<dyn WriteFile>, FailingFs);

impl WriteFile for FailingFile {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.1.ask()?;
        self.0.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.1.ask()?;
        self.0.sync()
    }
}
