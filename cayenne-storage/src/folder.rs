//! The folder of a table: created, marked, listed and removed. Nothing here decides what a table contains.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cayenne_format::{Environment, Error, ErrorKind, FileId, Result, Step, TableId, path};

use crate::fs::{Entry, Fs};
use crate::manifests;
use crate::storage::{Storage, inside};
use crate::task;

/// The version of the layout of a table folder.
const FORMAT_VERSION: u64 = 1;
/// The maximum length of a marker, in bytes.
const MARKER_BYTES_MAX: u64 = 4096;

/// A file that nothing references.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Orphan {
    /// Its name, relative to the data location of the table.
    pub name: String,
    /// Its length in bytes.
    pub bytes: u64,
}

impl Storage {
    /// Creates the folder of a table and its marker. All of it, up to the root, is on disk when this returns.
    ///
    /// A repetition for the same table changes nothing.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::AlreadyExists`] if the folder belongs to another table; [`ErrorKind::Corrupt`] if its marker cannot
    /// be read; or an I/O error.
    pub async fn create_table_folder(&self, location: &str, table: TableId) -> Result<()> {
        let folder = self.folder(location)?;
        let fs = Arc::clone(self.fs());
        let environment = self.environment().clone();
        task::blocking(move || create_folder(fs.as_ref(), &environment, &folder, table)).await?
    }

    /// Checks that the marker of a table folder names this table.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] with the code `foreign-table-folder` if it belongs to another table;
    /// [`ErrorKind::NotFound`] if it has no marker; [`ErrorKind::Corrupt`] if its marker cannot be read;
    /// [`ErrorKind::Unsupported`] if a newer Cayenne wrote it.
    pub async fn check_table_folder(&self, location: &str, table: TableId) -> Result<()> {
        let folder = self.folder(location)?;
        let fs = Arc::clone(self.fs());
        task::blocking(move || check_folder(fs.as_ref(), &folder, table)).await?
    }

    /// Returns the files of a data location that are not in `named`, by their names relative to it.
    ///
    /// It considers only files with the name of a data file, a key index or a deletion file, where those belong; it
    /// ignores anything else. A folder that does not exist has no orphans.
    ///
    /// # Errors
    ///
    /// An I/O error.
    pub async fn orphans(&self, location: &str, named: &HashSet<String>) -> Result<Vec<Orphan>> {
        let folder = self.folder(location)?;
        let fs = Arc::clone(self.fs());
        let found = task::blocking(move || find_data_files(fs.as_ref(), &folder)).await??;
        Ok(found.files.into_iter().filter(|orphan| !named.contains(&orphan.name)).collect())
    }

    /// Removes files of a data location and returns how many existed. Missing files are ignored. The key index of a
    /// data file is removed with it and is not counted.
    ///
    /// Their bytes are evicted from the caches permanently.
    ///
    /// # Errors
    ///
    /// The first I/O error; all other files were removed.
    pub async fn remove_files(&self, location: &str, names: &[String]) -> Result<u64> {
        let folder = self.folder(location)?;
        let paths = names.iter().map(|name| Ok(folder.join(inside(name)?))).collect::<Result<Vec<PathBuf>>>()?;
        let of_data_files = names.iter().filter_map(|name| path::data_file_id(name));
        let indexes: Vec<_> = of_data_files.map(|id| folder.join(path::key_index(id))).collect();
        self.forget(&names.iter().filter_map(|name| path::data_file_id(name)).collect());
        let fs = Arc::clone(self.fs());
        let environment = self.environment().clone();
        task::blocking(move || {
            environment.steps.before(Step::RemoveFiles)?;
            let mut failed = None;
            let mut remove = |path: &PathBuf| match remove_file(fs.as_ref(), path) {
                Ok(was_there) => u64::from(was_there),
                Err(error) => {
                    // A file that cannot be removed does not keep the others.
                    failed.get_or_insert(error);
                    0
                }
            };
            let _without_indexes: u64 = indexes.iter().map(&mut remove).sum();
            let removed = paths.iter().map(&mut remove).sum();
            failed.map_or(Ok(removed), Err)
        })
        .await?
    }

    /// Removes the folder of a table, if its marker names this table.
    ///
    /// It removes only what Cayenne writes: data files, partition folders, manifests, the marker, and the folder itself
    /// unless something else is in it. A folder that does not exist is ignored.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] if the folder belongs to another table or has no marker; or an I/O error. The marker is
    /// removed last, so that the removal can be repeated.
    pub async fn remove_table_folder(&self, location: &str, table: TableId) -> Result<()> {
        let folder = self.folder(location)?;
        let root = self.root().to_owned();
        let fs = Arc::clone(self.fs());
        let environment = self.environment().clone();
        let removed = task::blocking(move || remove_folder(fs.as_ref(), &environment, &root, &folder, table)).await??;
        self.forget(&removed);
        Ok(())
    }

    /// Returns the table folders below the root, with the ids in their names.
    ///
    /// # Errors
    ///
    /// An I/O error.
    pub async fn table_folders(&self) -> Result<Vec<(String, TableId)>> {
        let root = self.root().to_owned();
        let fs = Arc::clone(self.fs());
        let entries = task::blocking(move || match fs.list(&root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            listed => listed.map_err(|error| Error::io("could not list the data folder", error)),
        });
        let folders = entries.await??.into_iter().filter(|entry| entry.is_dir);
        Ok(folders.filter_map(|Entry { name, .. }| path::table_folder_id(&name).map(|id| (name, id))).collect())
    }

    fn forget(&self, files: &HashSet<FileId>) {
        for file in files {
            self.blocks().forget(*file);
            self.open_files().forget(*file);
        }
        self.segments().evict(files);
    }
}

fn create_folder(fs: &dyn Fs, environment: &Environment, folder: &Path, table: TableId) -> Result<()> {
    environment.steps.before(Step::CreateTableFolder)?;
    let facts = |error: Error| error.with("folder", folder.display());
    let missing =
        missing_folders(fs, folder).map_err(|error| facts(Error::io("could not look for a folder", error)))?;
    fs.create_dir_all(folder).map_err(|error| facts(Error::io("could not make the folder of a table", error)))?;
    match read_marker(fs, folder)? {
        Some(owner) if owner == table => {}
        Some(owner) => {
            return Err(facts(Error::already_exists("the folder belongs to another table"))
                .with("table", table)
                .with("owner", owner));
        }
        None => {
            environment.steps.before(Step::WriteTableMarker)?;
            write_marker(fs, folder, table)
                .map_err(|error| facts(Error::io("could not mark the folder of a table", error)))?;
        }
    }
    // The name of a folder is stored in its parent folder.
    let above = missing.iter().filter_map(|made| made.parent());
    for changed in std::iter::once(folder).chain(above) {
        fs.sync_dir(changed).map_err(|error| {
            Error::io("could not flush a folder to the disk", error).with("folder", changed.display())
        })?;
    }
    Ok(())
}

fn check_folder(fs: &dyn Fs, folder: &Path, table: TableId) -> Result<()> {
    match read_marker(fs, folder)? {
        Some(owner) if owner == table => Ok(()),
        Some(owner) => Err(foreign(table, owner).with("folder", folder.display())),
        None => Err(Error::not_found("the table folder has no marker file")
            .code("missing-marker")
            .with("folder", folder.display())),
    }
}

fn foreign(table: TableId, owner: TableId) -> Error {
    Error::invalid("the folder belongs to another table")
        .code("foreign-table-folder")
        .with("table", table)
        .with("owner", owner)
        .help("each table needs a folder of its own; restore the `_table.json` of this table from a backup")
}

/// Returns which of `folder` and the folders above it do not exist, the deepest first.
fn missing_folders(fs: &dyn Fs, folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut missing = Vec::new();
    for ancestor in folder.ancestors() {
        // This is the cheapest request to a disk that tells whether a folder exists.
        match fs.sync_dir(ancestor) {
            Ok(()) => break,
            Err(error) if error.kind() == io::ErrorKind::NotFound => missing.push(ancestor.to_owned()),
            Err(error) => return Err(error),
        }
    }
    Ok(missing)
}

fn write_marker(fs: &dyn Fs, folder: &Path, table: TableId) -> io::Result<()> {
    let text = serde_json::json!({ "format_version": FORMAT_VERSION, "table_id": table.to_string() }).to_string();
    let mut file = fs.create_file(&folder.join(path::TABLE_MARKER))?;
    file.write_all(text.as_bytes())?;
    file.sync()
}

/// Returns the table that the marker of a folder names, or `None` if there is no marker.
fn read_marker(fs: &dyn Fs, folder: &Path) -> Result<Option<TableId>> {
    let at = folder.join(path::TABLE_MARKER);
    let damaged = || {
        Error::corrupt("the marker of a table folder cannot be read").code("damaged-marker").with("file", at.display())
    };
    let file = match fs.open_file(&at) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        // Something else is in its place.
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => return Err(damaged().because(error)),
        Err(error) => return Err(unreadable(error, &at)),
    };
    let length = file.len().map_err(|error| unreadable(error, &at))?;
    let mut bytes = vec![0; usize::try_from(length.min(MARKER_BYTES_MAX)).unwrap_or_default()];
    file.read_at(0, &mut bytes).map_err(|error| unreadable(error, &at))?;
    let marker: serde_json::Value = serde_json::from_slice(&bytes).map_err(|error| damaged().because(error))?;
    let version = marker.get("format_version").and_then(serde_json::Value::as_u64);
    if version.is_some_and(|version| version > FORMAT_VERSION) {
        return Err(Error::unsupported("the folder of a table was written by a newer Cayenne")
            .with("file", at.display())
            .with("format_version", version.unwrap_or_default()));
    }
    let owner = marker.get("table_id").and_then(serde_json::Value::as_str).ok_or_else(damaged)?;
    owner.parse().map(Some).map_err(|error: Error| damaged().because(error))
}

/// A marker that cannot be read this time may be intact.
fn unreadable(error: io::Error, marker: &Path) -> Error {
    Error::unavailable("the marker of a table folder could not be read")
        .code("unreadable-marker")
        .with("file", marker.display())
        .because(error)
}

/// The files and folders that Cayenne wrote into a table folder, besides the marker.
#[derive(Default)]
struct Found {
    files: Vec<Orphan>,
    /// Partition folders, each after the folders inside it.
    folders: Vec<String>,
}

fn find_data_files(fs: &dyn Fs, folder: &Path) -> Result<Found> {
    let mut found = Found::default();
    find_below(fs, folder, None, path::PARTITION_DEPTH_MAX, &mut found)
        .and_then(|()| find_beside(fs, folder, path::KEY_FOLDER, path::parse_key_index, &mut found))
        .and_then(|()| find_beside(fs, folder, path::DELETION_FOLDER, path::parse_deletion_file, &mut found))
        .map_err(|error| Error::io("could not list the folder of a table", error).with("folder", folder.display()))?;
    Ok(found)
}

/// Searches a folder of files that lie next to the data files.
fn find_beside(
    fs: &dyn Fs,
    folder: &Path,
    below: &str,
    id_in: fn(&str) -> Option<FileId>,
    found: &mut Found,
) -> io::Result<()> {
    let entries = match fs.list(&folder.join(below)) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(()),
        listed => listed?,
    };
    let ours = entries.into_iter().filter(|entry| !entry.is_dir && id_in(&entry.name).is_some());
    found.files.extend(ours.map(|Entry { name, bytes, .. }| Orphan { name: format!("{below}/{name}"), bytes }));
    found.folders.push(below.to_owned());
    Ok(())
}

/// Searches `folder`, or the folder `below` in it.
fn find_below(fs: &dyn Fs, folder: &Path, below: Option<&str>, depth: usize, found: &mut Found) -> io::Result<()> {
    // No empty part is joined: it would end the path in a slash, which makes the system follow a link.
    let entries = match fs.list(&below.map_or_else(|| folder.to_owned(), |below| folder.join(below))) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        listed => listed?,
    };
    for Entry { name, is_dir, bytes } in entries {
        let path = below.map_or_else(|| name.clone(), |below| format!("{below}/{name}"));
        if !is_dir {
            // A name that merely parses as an id, such as one in capitals, is not one that Cayenne gives.
            if path::data_file_id(&name).is_some_and(|id| path::data_file(id, &[]) == name) {
                found.files.push(Orphan { name: path, bytes });
            }
        } else if name.contains('=') && depth > 0 {
            find_below(fs, folder, Some(&path), depth - 1, found)?;
            found.folders.push(path);
        }
    }
    Ok(())
}

/// Removes what Cayenne has written, the marker last, and returns the ids of the data files.
fn remove_folder(
    fs: &dyn Fs,
    environment: &Environment,
    root: &Path,
    folder: &Path,
    table: TableId,
) -> Result<HashSet<FileId>> {
    let facts = |error: Error| error.with("folder", folder.display());
    match read_marker(fs, folder) {
        Ok(Some(owner)) if owner == table => {}
        Ok(Some(owner)) => {
            return Err(facts(foreign(table, owner)));
        }
        // A crash while the marker is written leaves a part of it. Then the name of the folder tells which table it
        // belongs to.
        Err(error) if error.kind() == ErrorKind::Corrupt && named_after(folder, table) => {}
        Err(error) => return Err(error),
        Ok(None) => return no_marker(fs, folder).map_err(facts).map(|()| HashSet::new()),
    }
    environment.steps.before(Step::RemoveFiles)?;
    let found = find_data_files(fs, folder)?;
    for file in &found.files {
        remove_file(fs, &folder.join(&file.name))?;
    }
    for name in &found.folders {
        remove_if_empty(fs, &folder.join(name))?;
    }
    manifests::remove_all(fs, folder)
        .map_err(|error| facts(Error::io("could not remove the manifests of a table", error)))?;
    remove_file(fs, &folder.join(path::TABLE_MARKER))?;
    remove_if_empty(fs, folder)?;
    fs.sync_dir(root).map_err(|error| facts(Error::io("could not flush a folder to the disk", error)))?;
    Ok(found.files.iter().filter_map(|file| path::data_file_id(&file.name)).collect())
}

fn named_after(folder: &Path, table: TableId) -> bool {
    folder.file_name().and_then(|name| path::table_folder_id(name.to_str()?)) == Some(table)
}

/// A folder without a marker belongs to no table. It is removed if it is empty, as it is after an interrupted removal.
fn no_marker(fs: &dyn Fs, folder: &Path) -> Result<()> {
    match fs.remove_dir(folder) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::invalid("the folder has no marker that says whose it is").because(error)),
    }
}

fn remove_file(fs: &dyn Fs, path: &Path) -> Result<bool> {
    match fs.remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::io("could not remove a file", error).with("file", path.display())),
    }
}

fn remove_if_empty(fs: &dyn Fs, path: &Path) -> Result<()> {
    match fs.remove_dir(path) {
        Ok(()) => Ok(()),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty) => Ok(()),
        Err(error) => Err(Error::io("could not remove a folder", error).with("folder", path.display())),
    }
}
