//! Deletion files: reading them, and those that a commit adds.

use bytes::Bytes;
use cayenne_deletes::DeletionVector;
use cayenne_format::{Change, DataFile, DeletionFile, Error, ErrorKind, FileId, Location, Result, Sequence, path};

use crate::Table;
use crate::rows::RowPositions;

/// A deletion vector of more bytes becomes a file, so that opening a table does not load it. A file takes two more flushes
/// than a row of the metastore, which is why small ones are not.
const INLINE_BYTES_MAX: usize = 64 * 1024;

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
                .help("bring the file back from a copy; which rows are hidden is not known without it"),
            ErrorKind::Corrupt => damaged("a deletion file cannot be read").because(error),
            _ => error,
        })
    }

    /// Returns the changes that hide rows by their positions. What they name is on the disk.
    pub(crate) async fn hide_by_position(&self, rows: &RowPositions) -> Result<Vec<Change>> {
        let mut changes = Vec::new();
        for (file, rows) in rows.files() {
            changes.push(Change::AddDeletion(self.deletion_file(file, rows).await?));
        }
        Ok(changes)
    }

    pub(crate) async fn deletion_file(&self, data_file: FileId, rows: &DeletionVector) -> Result<DeletionFile> {
        let id = FileId::draw(self.shared.environment.ids.as_ref());
        let location = self.store_hidden(id, rows.encode(data_file)).await?;
        Ok(DeletionFile { id, data_file, location, rows: rows.len(), sequence: Sequence::ZERO })
    }

    /// Stores the bytes of a deletion or tombstone file.
    pub(crate) async fn store_hidden(&self, id: FileId, bytes: Bytes) -> Result<Location> {
        if bytes.len() <= INLINE_BYTES_MAX {
            return Ok(Location::Inline(bytes));
        }
        let name = path::deletion_file(id);
        self.shared.storage.write_beside(&self.record.location, &name, bytes).await?;
        Ok(Location::Path(name))
    }
}

pub(crate) fn damaged(message: &'static str) -> Error {
    Error::corrupt(message)
        .code("damaged-deletion")
        .help("bring the file back from a copy, or load the table again from its source")
}
