//! Values ⇄ columns. A value that is not what was written is an error that names table and row.

use bytes::Bytes;
use cayenne_format::{Error, FileId, Location, Result, Sequence};
use rusqlite::Row;
use rusqlite::types::FromSql;

use super::failure::OrFailure;

/// One row on its way out of the metastore, and the table of the metastore it comes from.
pub(super) struct Stored<'a, 's> {
    table: &'static str,
    row: &'a Row<'s>,
}

impl<'a, 's> Stored<'a, 's> {
    pub(super) fn new(table: &'static str, row: &'a Row<'s>) -> Self {
        Self { table, row }
    }

    pub(super) fn get<T: FromSql>(&self, column: usize) -> Result<T> {
        self.row.get(column).or_failure().map_err(|error| error.with("metastore_table", self.table))
    }

    /// Reads 64 bits without a sign.
    pub(super) fn count(&self, column: usize) -> Result<u64> {
        self.get(column).map(i64::cast_unsigned)
    }

    pub(super) fn sequence(&self, column: usize) -> Result<Sequence> {
        let number = self.count(column)?;
        Sequence::new(number).map_err(|error| self.damaged().because(error))
    }

    pub(super) fn digest(&self, column: usize) -> Result<u128> {
        self.get(column).map(u128::from_be_bytes)
    }

    pub(super) fn bytes(&self, column: usize) -> Result<Bytes> {
        self.get::<Vec<u8>>(column).map(Bytes::from)
    }

    pub(super) fn file_id(&self, column: usize) -> Result<FileId> {
        self.get(column).map(FileId::from_bytes)
    }

    pub(super) fn location(&self, path: usize, inline: usize) -> Result<Location> {
        match (self.get::<Option<String>>(path)?, self.get::<Option<Vec<u8>>>(inline)?) {
            (Some(path), None) => Ok(Location::Path(path)),
            (None, Some(bytes)) => Ok(Location::Inline(bytes.into())),
            _ => Err(self.damaged()),
        }
    }

    /// Says that the row is what was written.
    pub(super) fn verify(&self, stored: u128, computed: u128) -> Result<()> {
        if stored == computed { Ok(()) } else { Err(self.damaged()) }
    }

    /// The error for a row that is not what was written.
    pub(super) fn damaged(&self) -> Error {
        self.named(Error::corrupt("a row of the metastore is damaged"))
    }

    /// Adds which row it is: its first column is its key.
    pub(super) fn named(&self, error: Error) -> Error {
        let error = error.with("metastore_table", self.table);
        match self.row.get::<_, i64>(0) {
            Ok(key) => error.with("row", key),
            Err(_) => error,
        }
    }
}

/// Returns the two columns of a location: path and inline bytes.
pub(super) fn columns_of(location: &Location) -> (Option<&str>, Option<&[u8]>) {
    match location {
        Location::Path(path) => (Some(path), None),
        Location::Inline(bytes) => (None, Some(bytes)),
    }
}
