//! Files next to the data files of a table: each is written whole, named by an id, and removed whole.

use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use cayenne_format::{Error, Result, Step};

use crate::fs::{Fs, ReadFile};
use crate::storage::{Storage, inside};
use crate::task;
use crate::write::Gate;

impl Storage {
    /// Writes files next to the data files, each under its name, in folders that are created if they are missing. All
    /// files are on disk when this returns; their folders are flushed once.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::AlreadyExists`](cayenne_format::ErrorKind::AlreadyExists) if a file of such a name exists; or an
    /// I/O error. After an error none of the files is left.
    pub async fn write_beside(&self, location: &str, files: Vec<(String, Bytes)>) -> Result<()> {
        let table = self.folder(location)?;
        let place = |(name, bytes): (String, Bytes)| Ok((table.join(inside(&name)?), bytes));
        let files = files.into_iter().map(place).collect::<Result<Vec<_>>>()?;
        let (fs, environment) = (Arc::clone(self.fs()), self.environment().clone());
        task::blocking(move || {
            let gate = Gate::new(Arc::clone(&fs), environment);
            let written = write(fs.as_ref(), &gate, &table, &files);
            if written.is_err() {
                gate.close_and_remove();
            }
            written
        })
        .await?
    }

    /// Opens a file next to the data files.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](cayenne_format::ErrorKind::NotFound) if it is missing;
    /// [`ErrorKind::Corrupt`](cayenne_format::ErrorKind::Corrupt) if something else is in its place; or an I/O error.
    pub async fn open_beside(&self, location: &str, name: &str) -> Result<BesideFile> {
        let path = self.folder(location)?.join(inside(name)?);
        let fs = Arc::clone(self.fs());
        task::blocking(move || open(fs, path)).await?
    }
}

/// A file next to the data files, for reading.
#[derive(Clone)]
pub struct BesideFile {
    fs: Arc<dyn Fs>,
    path: PathBuf,
    bytes: u64,
    open: Option<Arc<dyn ReadFile>>,
}

impl BesideFile {
    /// Returns its length in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Returns the file closed: each read then opens it for a moment. Many files of which few are read can be kept this
    /// way.
    #[must_use]
    pub fn closed(self) -> Self {
        Self { open: None, ..self }
    }

    /// Returns the file open, for several reads.
    ///
    /// # Errors
    ///
    /// As [`Storage::open_beside`].
    pub fn opened(&self) -> Result<Self> {
        let open = match &self.open {
            Some(file) => Arc::clone(file),
            None => open_file(self.fs.as_ref(), &self.path)?,
        };
        Ok(Self { open: Some(open), ..self.clone() })
    }

    /// Reads a piece, which may wait for the disk. The piece must lie within the file.
    ///
    /// # Errors
    ///
    /// An I/O error; [`ErrorKind::Corrupt`](cayenne_format::ErrorKind::Corrupt) if the file ends before the piece does.
    /// For a closed file, also as [`Storage::open_beside`].
    pub fn read(&self, range: Range<u64>) -> Result<Bytes> {
        let mut bytes = self.room(&range)?;
        let file = match &self.open {
            Some(file) => Arc::clone(file),
            None => open_file(self.fs.as_ref(), &self.path)?,
        };
        file.read_at(range.start, &mut bytes).map_err(|error| {
            self.facts(match error.kind() {
                io::ErrorKind::UnexpectedEof => Error::corrupt("a file is shorter than it was").because(error),
                _ => Error::io("could not read a file", error),
            })
        })?;
        Ok(bytes.into())
    }

    fn room(&self, range: &Range<u64>) -> Result<Vec<u8>> {
        let is_there = range.start <= range.end && range.end <= self.bytes;
        let length = usize::try_from(range.end.saturating_sub(range.start)).ok().filter(|_| is_there);
        let length = length.ok_or_else(|| self.facts(Error::corrupt("a file is shorter than it says")))?;
        Ok(vec![0; length])
    }

    fn facts(&self, error: Error) -> Error {
        error.with("file", self.path.display())
    }
}

fn open(fs: Arc<dyn Fs>, path: PathBuf) -> Result<BesideFile> {
    let file = open_file(fs.as_ref(), &path)?;
    let bytes = file
        .len()
        .map_err(|error| Error::io("could not read the length of a file", error).with("file", path.display()))?;
    Ok(BesideFile { fs, path, bytes, open: Some(file) })
}

fn open_file(fs: &dyn Fs, path: &Path) -> Result<Arc<dyn ReadFile>> {
    fs.open_file(path).map_err(|error| {
        let error = match error.kind() {
            io::ErrorKind::NotFound => Error::not_found("a file of the table is missing").because(error),
            // Something that is not a file, or something in the place of the folder.
            io::ErrorKind::InvalidInput | io::ErrorKind::NotADirectory => {
                Error::corrupt("something else is where a file of the table should be").because(error)
            }
            _ => Error::io("could not open a file of the table", error),
        };
        error.with("file", path.display())
    })
}

fn write(fs: &dyn Fs, gate: &Gate, table: &Path, files: &[(PathBuf, Bytes)]) -> Result<()> {
    for (path, bytes) in files {
        gate.write_whole(table, path, bytes)?;
    }
    gate.before(Step::SyncFolder)?;
    let mut folders: Vec<&Path> = files.iter().filter_map(|(path, _)| path.parent()).collect();
    folders.dedup();
    // A process that created the folder of the table may have died before its name was on disk.
    folders.push(table);
    let failed = |error| Error::io("could not write a file of the table", error).with("folder", table.display());
    folders.into_iter().try_for_each(|folder| fs.sync_dir(folder)).map_err(failed)
}

/// Creates a file, and the folder of the table that contains it.
pub(crate) fn create(fs: &dyn Fs, table: &Path, path: &Path) -> Result<Box<dyn crate::fs::WriteFile>> {
    let failed = |error: io::Error| match error.kind() {
        // Ids are never reused, so the existing file is not one of ours.
        io::ErrorKind::AlreadyExists => Error::already_exists("a file is where a new one should be").because(error),
        _ => Error::io("could not create a file of the table", error),
    };
    match (fs.create_file(path), path.parent()) {
        (Err(error), Some(folder)) if error.kind() == io::ErrorKind::NotFound => {
            fs.create_dir_all(folder).map_err(failed)?;
            fs.sync_dir(table).map_err(failed)?;
            fs.create_file(path).map_err(failed)
        }
        (created, _) => created.map_err(failed),
    }
}
