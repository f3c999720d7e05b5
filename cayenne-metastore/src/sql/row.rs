//! Conversion between values and columns. A value that differs from what was written is an error that names table and
//! row.

use bytes::Bytes;
use cayenne_format::{Error, FileId, Location, Result, Sequence};

use super::failure::wrong_value;
use super::{Row, Value};

/// One row read from the metastore, and the metastore table it comes from.
pub(super) struct Stored<'a> {
    table: &'static str,
    row: &'a dyn Row,
}

impl<'a> Stored<'a> {
    pub(super) fn new(table: &'static str, row: &'a dyn Row) -> Self {
        Self { table, row }
    }

    fn value(&self, column: usize) -> Result<Value<'a>> {
        self.row.value(column).map_err(|error| error.with("metastore_table", self.table))
    }

    fn wrong(&self) -> Error {
        wrong_value().with("metastore_table", self.table)
    }

    pub(super) fn integer(&self, column: usize) -> Result<i64> {
        match self.value(column)? {
            Value::Integer(number) => Ok(number),
            _ => Err(self.wrong()),
        }
    }

    pub(super) fn text(&self, column: usize) -> Result<&'a str> {
        self.text_if_any(column)?.ok_or_else(|| self.wrong())
    }

    pub(super) fn text_if_any(&self, column: usize) -> Result<Option<&'a str>> {
        match self.value(column)? {
            Value::Text(text) => Ok(Some(text)),
            Value::Null => Ok(None),
            _ => Err(self.wrong()),
        }
    }

    pub(super) fn blob(&self, column: usize) -> Result<&'a [u8]> {
        self.blob_if_any(column)?.ok_or_else(|| self.wrong())
    }

    fn blob_if_any(&self, column: usize) -> Result<Option<&'a [u8]>> {
        match self.value(column)? {
            Value::Blob(bytes) => Ok(Some(bytes)),
            Value::Null => Ok(None),
            _ => Err(self.wrong()),
        }
    }

    /// Reads the 16 bytes of an id or a digest.
    pub(super) fn id(&self, column: usize) -> Result<[u8; 16]> {
        self.blob(column)?.try_into().map_err(|_| self.wrong())
    }

    /// Reads an unsigned 64-bit number.
    pub(super) fn count(&self, column: usize) -> Result<u64> {
        self.integer(column).map(i64::cast_unsigned)
    }

    pub(super) fn sequence(&self, column: usize) -> Result<Sequence> {
        let number = self.count(column)?;
        Sequence::new(number).map_err(|error| self.damaged().because(error))
    }

    pub(super) fn digest(&self, column: usize) -> Result<u128> {
        self.id(column).map(u128::from_be_bytes)
    }

    pub(super) fn bytes(&self, column: usize) -> Result<Bytes> {
        self.blob(column).map(Bytes::copy_from_slice)
    }

    pub(super) fn file_id(&self, column: usize) -> Result<FileId> {
        self.id(column).map(FileId::from_bytes)
    }

    pub(super) fn location(&self, path: usize, inline: usize) -> Result<Location> {
        match (self.text_if_any(path)?, self.blob_if_any(inline)?) {
            (Some(path), None) => Ok(Location::Path(path.to_owned())),
            (None, Some(bytes)) => Ok(Location::Inline(Bytes::copy_from_slice(bytes))),
            _ => Err(self.damaged()),
        }
    }

    /// Fails unless the row is what was written.
    pub(super) fn verify(&self, stored: u128, computed: u128) -> Result<()> {
        if stored == computed { Ok(()) } else { Err(self.damaged()) }
    }

    /// The error for a damaged row, which is not what was written.
    pub(super) fn damaged(&self) -> Error {
        self.named(damage())
    }

    /// Adds the key of the row, which is its first column.
    pub(super) fn named(&self, error: Error) -> Error {
        let error = error.with("metastore_table", self.table);
        match self.row.value(0) {
            Ok(Value::Integer(key)) => error.with("row", key),
            _ => error,
        }
    }
}

/// The error for a damaged row that is no longer at hand.
pub(super) fn damaged_row(table: &'static str) -> Error {
    damage().with("metastore_table", table)
}

fn damage() -> Error {
    Error::corrupt("a row of the metastore is damaged")
}

/// Returns the two columns of a location: path and inline bytes.
pub(super) fn columns_of(location: &Location) -> (Option<&str>, Option<&[u8]>) {
    match location {
        Location::Path(path) => (Some(path), None),
        Location::Inline(bytes) => (None, Some(bytes)),
    }
}
