//! The index file next to a data file, which says where rows are. The caller defines its content.

use std::fmt;
use std::path::Path;

use arrow_array::RecordBatch;
use bytes::Bytes;
use cayenne_format::{DataFile, Result, path};

use crate::write::gate::Gate;

/// Makes an index of the rows of each data file that is written.
pub trait IndexRows: fmt::Debug + Send + Sync {
    /// Begins the index of one data file.
    fn begin(&self) -> Box<dyn RowIndex>;
}

/// The index of one data file while the data file is written.
pub trait RowIndex: Send {
    /// Adds the next rows, in the order in which they are in the file.
    ///
    /// # Errors
    ///
    /// If the rows are invalid; the write then fails.
    fn add(&mut self, rows: &RecordBatch) -> Result<()>;

    /// Returns the memory that it takes, in bytes.
    fn memory_bytes(&self) -> u64;

    /// Returns the bytes of the index of all rows of `file`.
    ///
    /// # Errors
    ///
    /// If the rows cannot be indexed; the write then fails.
    fn finish(self: Box<Self>, file: &DataFile) -> Result<Bytes>;
}

/// Writes the index of a data file next to it and flushes it to disk. Its name is flushed with those of the data files.
pub(super) fn write_index(gate: &Gate, folder: &Path, index: Box<dyn RowIndex>, file: &DataFile) -> Result<()> {
    let bytes = index.finish(file)?;
    gate.pass(|| gate.write_whole(folder, &folder.join(path::key_index(file.id)), &bytes))
}
