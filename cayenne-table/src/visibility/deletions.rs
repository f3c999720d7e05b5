//! Reads deletion files, and writes those that a commit adds.

use bytes::Bytes;
use cayenne_deletes::DeletionVector;
use cayenne_format::{Change, DataFile, DeletionFile, Error, ErrorKind, FileId, Location, Result, Sequence, path};

use crate::Table;
use crate::visibility::rows::RowPositions;

/// Maximum length of a deletion vector that is stored inline, in bytes. A longer one becomes a file, so that it is
/// stored once: inline bytes are stored in the log of the metastore, in its pages and in the next manifest, and are
/// loaded whenever the table is opened. A file costs one more fsync, and two for its folders, so short ones stay
/// inline.
const INLINE_BYTES_MAX: usize = 8 * 1024;

impl Table {
    pub(crate) async fn read_deletion(&self, file: &DataFile, deletion: &DeletionFile) -> Result<DeletionVector> {
        let facts = |error: Error| error.with("table", self.name()).with("deletion", deletion.id);
        let bytes = self.hidden_bytes(&deletion.location).await.map_err(facts)?;
        let decoded = DeletionVector::decode(&bytes, file.id, file.rows).map_err(|error| match error.kind() {
            ErrorKind::Corrupt => error.code("damaged-deletion"),
            _ => error,
        });
        let vector = decoded.map_err(facts)?;
        if vector.len() == deletion.rows {
            return Ok(vector);
        }
        Err(facts(damaged("a deletion file hides another number of rows than the manifest says")))
    }

    /// Returns the bytes of a deletion or tombstone file.
    pub(crate) async fn hidden_bytes(&self, location: &Location) -> Result<Bytes> {
        let name = match location {
            Location::Inline(bytes) => return Ok(bytes.clone()),
            Location::Path(name) => name,
        };
        let read = async {
            let file = self.shared.storage.open_beside(&self.record.location, name).await?;
            cayenne_storage::task::blocking(move || file.read(0..file.bytes())).await?
        };
        read.await.map_err(|error: Error| match error.kind() {
            ErrorKind::NotFound => Error::not_found("a deletion file is missing")
                .code("missing-deletion")
                .because(error)
                .help("restore the file from a backup; without it, the deleted rows are not known"),
            ErrorKind::Corrupt => damaged("a deletion file cannot be read").because(error),
            _ => error,
        })
    }

    /// Returns the changes that hide rows by their positions. The files that the changes name are on the disk.
    pub(crate) async fn hide_by_position(&self, rows: &RowPositions) -> Result<Vec<Change>> {
        let (mut changes, mut files) = (Vec::new(), Vec::new());
        for (data_file, rows) in rows.files() {
            let (deletion, file) = self.encoded(data_file, rows);
            changes.push(Change::AddDeletion(deletion));
            files.extend(file);
        }
        self.write_hidden(files).await?;
        Ok(changes)
    }

    /// Returns a deletion file that hides rows of one data file. It is on the disk, unless it is inline.
    pub(crate) async fn deletion_file(&self, data_file: FileId, rows: &DeletionVector) -> Result<DeletionFile> {
        let (deletion, file) = self.encoded(data_file, rows);
        self.write_hidden(file).await?;
        Ok(deletion)
    }

    /// Returns a deletion file that hides rows of one data file, and its name and bytes unless it is inline.
    fn encoded(&self, data_file: FileId, rows: &DeletionVector) -> (DeletionFile, Option<(String, Bytes)>) {
        let id = FileId::draw(self.shared.environment.ids.as_ref());
        let (location, file) = place(id, rows.encode(data_file));
        (DeletionFile { id, data_file, location, rows: rows.len(), sequence: Sequence::ZERO }, file)
    }

    /// Stores the bytes of a deletion or tombstone file.
    pub(crate) async fn store_hidden(&self, id: FileId, bytes: Bytes) -> Result<Location> {
        let (location, file) = place(id, bytes);
        self.write_hidden(file).await?;
        Ok(location)
    }

    async fn write_hidden(&self, files: impl IntoIterator<Item = (String, Bytes)>) -> Result<()> {
        let files: Vec<_> = files.into_iter().collect();
        if files.is_empty() {
            return Ok(());
        }
        self.shared.storage.write_beside(&self.record.location, files).await
    }
}

/// Returns the location for the bytes of a deletion or tombstone file, and its name and bytes unless it is inline.
fn place(id: FileId, bytes: Bytes) -> (Location, Option<(String, Bytes)>) {
    if bytes.len() <= INLINE_BYTES_MAX {
        return (Location::Inline(bytes), None);
    }
    let name = path::deletion_file(id);
    (Location::Path(name.clone()), Some((name, bytes)))
}

pub(crate) fn damaged(message: &'static str) -> Error {
    Error::corrupt(message)
        .code("damaged-deletion")
        .help("restore the file from a backup, or load the table again from its source")
}
