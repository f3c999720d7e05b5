//! The stored manifests of a table: written whole under their final names, listed, read and removed.

use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use cayenne_format::{Error, Manifest, Result, Sequence, Step, path};

use crate::fs::Fs;
use crate::storage::{Storage, inside};
use crate::task;

/// The name of a manifest while it is written. A table has one writer, so one name is enough.
const BEING_WRITTEN: &str = "writing.partial";

/// A mark in the manifest folder: the metastore has lost the table, and no manifest describes it.
const LOST: &str = "lost";

/// The beginning of a frame; its last 8 bytes are the length of the payload.
const FRAME_HEAD_BYTES: usize = 16;
/// The bytes of a frame besides its payload.
const FRAME_BYTES: u64 = 24;

/// A stored manifest, as its name describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredManifest {
    /// The sequence that the manifest follows; [`Sequence::ZERO`] if it is whole.
    pub since: Sequence,
    /// The sequence of the state that it describes.
    pub sequence: Sequence,
    /// Its length in bytes.
    pub bytes: u64,
}

impl StoredManifest {
    /// Returns its name, relative to the data location of the table.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}/{}", path::MANIFEST_FOLDER, path::manifest(self.since, self.sequence))
    }
}

impl Storage {
    /// Returns the manifests of a data location, ordered by their sequences. A folder that does not exist has none.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Corrupt`](cayenne_format::ErrorKind::Corrupt) with the code `no-manifest-folder` if something else
    /// is in the place of the manifest folder; or an I/O error.
    pub async fn manifests(&self, location: &str) -> Result<Vec<StoredManifest>> {
        let folder = self.folder(location)?.join(path::MANIFEST_FOLDER);
        let fs = Arc::clone(self.fs());
        task::blocking(move || list(fs.as_ref(), &folder)).await?
    }

    /// Says whether a data location has a manifest, or the mark of a lost table. If so, it is not a left-over.
    ///
    /// # Errors
    ///
    /// An I/O error.
    pub async fn tells_of_a_table(&self, location: &str) -> Result<bool> {
        let folder = self.folder(location)?.join(path::MANIFEST_FOLDER);
        let fs = Arc::clone(self.fs());
        task::blocking(move || match fs.list(&folder) {
            Ok(entries) => {
                Ok(entries.iter().any(|entry| entry.name == LOST || path::parse_manifest(&entry.name).is_some()))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            // Cayenne does not remove what it has not created.
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => Ok(true),
            Err(error) => Err(Error::io("the manifests cannot be listed", error).with("folder", folder.display())),
        })
        .await?
    }

    /// Marks the folder of a table that the metastore has lost and no manifest describes, so that the folder is kept. A
    /// folder that does not exist is ignored, and so is one that cannot be marked because something else is in the
    /// place of its manifest folder.
    ///
    /// # Errors
    ///
    /// An I/O error.
    pub async fn mark_lost(&self, location: &str) -> Result<()> {
        let table_folder = self.folder(location)?;
        let fs = Arc::clone(self.fs());
        task::blocking(move || {
            let folder = table_folder.join(path::MANIFEST_FOLDER);
            match mark(fs.as_ref(), &table_folder, &folder) {
                Err(error) if tells_nothing(&error) => Ok(()),
                marked => marked.map_err(|error| {
                    Error::io("a lost table cannot be marked", error).with("folder", folder.display())
                }),
            }
        })
        .await?
    }

    /// Reads a manifest.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Corrupt`](cayenne_format::ErrorKind::Corrupt) with the code `damaged-manifest` if it is not what
    /// was written; [`ErrorKind::Unsupported`](cayenne_format::ErrorKind::Unsupported) if a newer Cayenne wrote it; or
    /// an I/O error.
    pub async fn read_manifest(&self, location: &str, stored: StoredManifest) -> Result<Manifest> {
        let at = self.folder(location)?.join(stored.name());
        let fs = Arc::clone(self.fs());
        task::blocking(move || {
            let bytes = read(fs.as_ref(), &at).map_err(|error| Error::io("a manifest cannot be read", error));
            let found = bytes.and_then(|bytes| Manifest::decode(&bytes)).and_then(|found| {
                if (found.since, found.state.sequence) == (stored.since, stored.sequence) {
                    return Ok(found);
                }
                Err(Error::corrupt("the content of a manifest does not match its name").code("damaged-manifest"))
            });
            found.map_err(|error| named(error).with("file", at.display()))
        })
        .await?
    }

    /// Writes a manifest atomically: it is on disk under its name, or no file has the name of a manifest.
    ///
    /// # Errors
    ///
    /// An I/O error.
    pub async fn write_manifest(&self, location: &str, manifest: &Manifest) -> Result<()> {
        let folder = self.folder(location)?;
        let name = path::manifest(manifest.since, manifest.state.sequence);
        let bytes = manifest.encode();
        let (fs, steps) = (Arc::clone(self.fs()), Arc::clone(&self.environment().steps));
        task::blocking(move || {
            steps.before(Step::WriteManifest)?;
            write(fs.as_ref(), &folder, &name, &bytes)
                .map_err(|error| Error::io("a manifest cannot be written", error).with("folder", folder.display()))
        })
        .await?
    }

    /// Removes manifests of a data location. Missing ones are ignored.
    ///
    /// # Errors
    ///
    /// An I/O error.
    pub async fn remove_manifests(&self, location: &str, manifests: &[StoredManifest]) -> Result<()> {
        let folder = self.folder(location)?;
        let names =
            manifests.iter().map(|stored| Ok(folder.join(inside(&stored.name())?))).collect::<Result<Vec<_>>>()?;
        let fs = Arc::clone(self.fs());
        task::blocking(move || {
            let folder = folder.join(path::MANIFEST_FOLDER);
            let lost = folder.join(LOST);
            let removed = names.iter().chain([&lost]).try_for_each(|name| gone_is_fine(fs.remove_file(name)));
            // The removal must be durable: otherwise a recovery would bring a dropped table back from its manifests.
            removed
                .and_then(|()| gone_is_fine(fs.sync_dir(&folder)))
                .map_err(|error| Error::io("a manifest cannot be removed", error).with("folder", folder.display()))
        })
        .await?
    }
}

fn mark(fs: &dyn Fs, table_folder: &Path, folder: &Path) -> io::Result<()> {
    fs.list(table_folder)?;
    fs.create_dir_all(folder)?;
    match fs.create_file(&folder.join(LOST)) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => made?.sync()?,
    }
    fs.sync_dir(folder)?;
    fs.sync_dir(table_folder)
}

fn tells_nothing(error: &io::Error) -> bool {
    use io::ErrorKind::{AlreadyExists, NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory | AlreadyExists)
}

/// Removes the manifest folder of a table, and what Cayenne has put there.
pub(crate) fn remove_all(fs: &dyn Fs, table_folder: &Path) -> io::Result<()> {
    let folder = table_folder.join(path::MANIFEST_FOLDER);
    let entries = match fs.list(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        if matches!(entry.name.as_str(), BEING_WRITTEN | LOST) || path::parse_manifest(&entry.name).is_some() {
            gone_is_fine(fs.remove_file(&folder.join(entry.name)))?;
        }
    }
    match fs.remove_dir(&folder) {
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
        removed => gone_is_fine(removed),
    }
}

fn list(fs: &dyn Fs, folder: &Path) -> Result<Vec<StoredManifest>> {
    let entries = match fs.list(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        // This differs from a folder that cannot be listed, which may be intact.
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            return Err(Error::corrupt("the place of the manifest folder is taken by something else")
                .code("no-manifest-folder")
                .with("folder", folder.display())
                .because(error));
        }
        listed => listed
            .map_err(|error| Error::io("the manifests cannot be listed", error).with("folder", folder.display()))?,
    };
    let mut found: Vec<_> = entries
        .into_iter()
        .filter(|entry| !entry.is_dir)
        .filter_map(|entry| {
            let (since, sequence) = path::parse_manifest(&entry.name)?;
            Some(StoredManifest { since, sequence, bytes: entry.bytes })
        })
        .collect();
    found.sort_by_key(|stored| (stored.sequence, stored.since));
    Ok(found)
}

fn read(fs: &dyn Fs, at: &Path) -> io::Result<Bytes> {
    let file = fs.open_file(at)?;
    let length = file.len()?;
    let mut head = [0; FRAME_HEAD_BYTES];
    let head_length = FRAME_HEAD_BYTES.min(usize::try_from(length).unwrap_or(usize::MAX));
    let (head, _) = head.split_at_mut(head_length);
    file.read_at(0, head)?;
    let said = head.last_chunk::<8>().map(|said| u64::from_le_bytes(*said).saturating_add(FRAME_BYTES));
    if said != Some(length) {
        // A file whose length differs from what its frame says is damaged. Its beginning is enough to report that, so
        // that an endless file takes no memory.
        return Ok(Bytes::copy_from_slice(head));
    }
    let mut bytes = Vec::new();
    let length = usize::try_from(length).map_err(io::Error::other)?;
    bytes.try_reserve_exact(length).map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
    bytes.resize(length, 0);
    file.read_at(0, &mut bytes)?;
    Ok(bytes.into())
}

fn write(fs: &dyn Fs, table_folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let folder = table_folder.join(path::MANIFEST_FOLDER);
    let being_written = folder.join(BEING_WRITTEN);
    // Only in an existing folder: another process may have dropped the table.
    fs.list(table_folder)?;
    fs.create_dir_all(&folder)?;
    // Listing refuses a folder that is a symbolic link.
    fs.list(&folder)?;
    gone_is_fine(fs.remove_file(&being_written))?;
    let mut file = fs.create_file(&being_written)?;
    file.write_all(bytes)?;
    file.sync()?;
    fs.rename(&being_written, &folder.join(name))?;
    fs.sync_dir(&folder)?;
    fs.sync_dir(table_folder)
}

fn gone_is_fine(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// All kinds of damage to a manifest have one code.
fn named(error: Error) -> Error {
    if error.kind() == cayenne_format::ErrorKind::Corrupt { error.code("damaged-manifest") } else { error }
}
