//! Moves files aside instead of deleting them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cayenne_format::{CommitId, Environment, Error, ErrorKind, Result, Step, path};
use cayenne_storage::{Entry, Fs};

use crate::handle::shared::Shared;

/// A folder for the files that one repair or recovery moves aside. It is created with the first file.
pub(crate) struct Aside {
    fs: Arc<dyn Fs>,
    environment: Environment,
    root: PathBuf,
    folder: PathBuf,
    is_made: bool,
}

impl Aside {
    pub(crate) fn new(shared: &Shared) -> Self {
        Self::within(&shared.root, &shared.fs, &shared.environment)
    }

    /// Returns a folder in the database at `root`.
    pub(crate) fn within(root: &Path, fs: &Arc<dyn Fs>, environment: &Environment) -> Self {
        // An id begins with the time, so the folders are listed in the order in which they were created.
        let name = CommitId::draw(environment.ids.as_ref()).to_string();
        Self {
            fs: Arc::clone(fs),
            environment: environment.clone(),
            root: root.to_owned(),
            folder: root.join(path::ASIDE_FOLDER).join(name),
            is_made: false,
        }
    }

    /// Returns the folder, if something was moved there.
    pub(crate) fn folder(&self) -> Option<&Path> {
        self.is_made.then_some(self.folder.as_path())
    }

    /// Moves a file of the database to this folder, under its path below the root. Returns its new path.
    pub(crate) fn take(&mut self, from: &Path) -> Result<PathBuf> {
        self.environment.steps.before(Step::MoveAside)?;
        let below = from.strip_prefix(&self.root).unwrap_or(from);
        let to = self.folder.join(below);
        self.move_to(from, &to).map_err(|error| {
            Error::io("something damaged cannot be moved aside", error)
                .with("file", from.display())
                .with("to", to.display())
        })?;
        self.is_made = true;
        Ok(to)
    }

    /// As [`take`](Self::take), but returns `None` if there is no such file.
    pub(crate) fn take_if_there(&mut self, from: &Path) -> Result<Option<PathBuf>> {
        // Look for the file before a folder is created for it. Any other problem shows when it is moved.
        let is_named = |entry: &Entry| from.file_name().is_some_and(|name| name == entry.name.as_str());
        let entries = from.parent().and_then(|folder| self.fs.list(folder).ok());
        if entries.is_some_and(|entries| !entries.iter().any(is_named)) {
            return Ok(None);
        }
        match self.take(from) {
            Ok(moved) => Ok(Some(moved)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes bytes that have no file of their own to this folder, under the path that they would have. Returns that
    /// path.
    pub(crate) fn keep(&mut self, from: &Path, bytes: &[u8]) -> Result<PathBuf> {
        self.environment.steps.before(Step::MoveAside)?;
        let to = self.folder.join(from.strip_prefix(&self.root).unwrap_or(from));
        self.write(&to, bytes)
            .map_err(|error| Error::io("something damaged cannot be kept aside", error).with("to", to.display()))?;
        self.is_made = true;
        Ok(to)
    }

    fn write(&self, to: &Path, bytes: &[u8]) -> std::io::Result<()> {
        to.parent().map_or(Ok(()), |folder| self.fs.create_dir_all(folder))?;
        let mut file = self.fs.create_file(to)?;
        file.write_all(bytes)?;
        file.sync()?;
        self.flush_above(to)
    }

    fn flush_above(&self, to: &Path) -> std::io::Result<()> {
        let mut above = to.ancestors().skip(1).take_while(|folder| folder.starts_with(&self.root));
        above.try_for_each(|folder| self.fs.sync_dir(folder))
    }

    fn move_to(&self, from: &Path, to: &Path) -> std::io::Result<()> {
        to.parent().map_or(Ok(()), |folder| self.fs.create_dir_all(folder))?;
        self.fs.rename(from, to)?;
        // The new name first: after a crash in between there may be both names, but never neither.
        self.flush_above(to)?;
        from.parent().map_or(Ok(()), |folder| self.fs.sync_dir(folder))
    }
}
