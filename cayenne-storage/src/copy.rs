//! Copying data files from one folder to another, each verified on the way.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cayenne_format::{Environment, Error, FileDigest, FileDigester, Location, NewDataFile, Result, Step};

use crate::fs::Fs;
use crate::reader::open_data_file;
use crate::storage::{Storage, inside};
use crate::task;

/// The number of bytes that are copied at once.
const COPY_BYTES: usize = 1024 * 1024;

impl Storage {
    /// Copies the data files of a data location into the folder `to`, an absolute path; inline ones have no file.
    ///
    /// All copies are on disk when this returns.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Corrupt`](cayenne_format::ErrorKind::Corrupt) with the code `damaged-file` if a file differs from
    /// its record; [`ErrorKind::NotFound`](cayenne_format::ErrorKind::NotFound) with the code `missing-data-file`; or
    /// an I/O error. After an error no copy is left.
    pub async fn copy_out(&self, location: &str, files: Vec<NewDataFile>, to: &Path) -> Result<()> {
        let named = files.into_iter().map(|new| (name_of(&new).to_owned(), new)).collect();
        self.copy(self.folder(location)?, to.to_owned(), named).await
    }

    /// Copies data files from the folder `from`, an absolute path, into a data location. Each file comes with its name
    /// in `from`.
    ///
    /// # Errors
    ///
    /// As [`copy_out`](Self::copy_out).
    pub async fn copy_in(&self, from: &Path, location: &str, files: Vec<(String, NewDataFile)>) -> Result<()> {
        self.copy(from.to_owned(), self.folder(location)?, files).await
    }

    async fn copy(&self, from: PathBuf, to: PathBuf, files: Vec<(String, NewDataFile)>) -> Result<()> {
        let (fs, environment) = (Arc::clone(self.fs()), self.environment().clone());
        task::blocking(move || {
            let mut copies = Copies { fs: fs.as_ref(), environment: &environment, from, to, made: Vec::new() };
            let done = files.iter().try_for_each(|(name, new)| copies.add(name, new)).and_then(|()| copies.flush());
            if done.is_err() {
                copies.remove();
            }
            done
        })
        .await?
    }
}

/// The copies made so far.
struct Copies<'a> {
    fs: &'a dyn Fs,
    environment: &'a Environment,
    from: PathBuf,
    to: PathBuf,
    made: Vec<PathBuf>,
}

impl Copies<'_> {
    fn add(&mut self, name: &str, new: &NewDataFile) -> Result<()> {
        if new.file.is_inline() {
            return Ok(());
        }
        let (from, to) = (self.from.join(inside(name)?), self.to.join(inside(name_of(new))?));
        let found = self.write(&from, &to, new.file.bytes)?;
        if found.hash == new.file.hash && found.blocks == new.blocks {
            return Ok(());
        }
        Err(Error::corrupt("the checksum of a data file differs from the manifest")
            .code("damaged-file")
            .with("file", from.display()))
    }

    fn write(&mut self, from: &Path, to: &Path, bytes: u64) -> Result<FileDigest> {
        let source = open_data_file(self.fs, from, bytes)?;
        self.environment.steps.before(Step::CreateDataFile)?;
        let made = to.parent().map_or(Ok(()), |folder| self.fs.create_dir_all(folder));
        let created = made.and_then(|()| self.fs.create_file(to));
        let mut copy = created.map_err(|error| cannot_write(error, to))?;
        self.made.push(to.to_owned());
        self.environment.steps.before(Step::WriteDataFile)?;
        let mut digester = FileDigester::default();
        let mut chunk = vec![0; COPY_BYTES];
        let mut offset = 0;
        while offset < bytes {
            let length = usize::try_from(bytes - offset).unwrap_or(usize::MAX).min(COPY_BYTES);
            let (now, _) = chunk.split_at_mut(length);
            source
                .read_at(offset, now)
                .map_err(|error| Error::io("a data file cannot be read", error).with("file", from.display()))?;
            digester.feed(now);
            copy.write_all(now).map_err(|error| cannot_write(error, to))?;
            offset += length as u64;
        }
        self.environment.steps.before(Step::SyncDataFile)?;
        copy.sync().map_err(|error| cannot_write(error, to))?;
        Ok(digester.finish())
    }

    /// Flushes the names of the copies, and of the folders that were created for them.
    fn flush(&self) -> Result<()> {
        self.environment.steps.before(Step::SyncFolder)?;
        let mut folders = BTreeSet::from([self.to.as_path()]);
        for copy in &self.made {
            folders.extend(copy.ancestors().skip(1).take_while(|folder| folder.starts_with(&self.to)));
        }
        folders.into_iter().try_for_each(|folder| self.fs.sync_dir(folder).map_err(|error| cannot_write(error, folder)))
    }

    /// Removes the copies as far as possible. Nothing references the names of those that are left.
    fn remove(&self) {
        for copy in &self.made {
            if let Err(error) = self.fs.remove_file(copy) {
                tracing::warn!(%error, file = %copy.display(), "a copy that was broken off was left");
            }
        }
    }
}

/// Returns the name of a data file; empty for an inline one.
fn name_of(new: &NewDataFile) -> &str {
    match &new.file.location {
        Location::Path(name) => name,
        Location::Inline(_) => "",
    }
}

fn cannot_write(error: io::Error, file: &Path) -> Error {
    Error::io("a copy of a data file cannot be written", error).with("file", file.display())
}
