//! Inline rows move to data files: on demand, and in the background once they pass the limits of their table.

use std::sync::Arc;

use arrow_array::RecordBatch;
use cayenne_format::{DataFile, ErrorKind, InlineOptions, Operation, Result, Sequence, TableOptions};
use cayenne_storage::{RowStream, WriteRequest};
use futures::{StreamExt as _, stream};

use crate::Table;
use crate::publish::Replaced;
use crate::together::{Unnamed, publish_files};

/// With this many inline bytes, which every reader holds in memory, a write becomes files however small it is: so a table
/// stays bounded even if it cannot be flushed as fast as it is written.
const INLINE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// How often a flush is tried again after another commit has taken its inline rows away.
const TRIES: usize = 3;

/// What a flush did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flushed {
    /// The number of rows that moved.
    pub rows: u64,
    /// The number of inline data files that they were in.
    pub inline_files: usize,
    /// The number of data files that they are in now.
    pub files: usize,
    /// The sequence of the table afterwards.
    pub sequence: Sequence,
}

impl Table {
    /// Moves the rows that are kept in the metastore to data files. No row becomes visible or invisible by it.
    ///
    /// # Errors
    ///
    /// As [`append`](Self::append).
    pub async fn flush(self: &Arc<Self>) -> Result<Flushed> {
        let mut tries = 0;
        loop {
            tries += 1;
            match self.flush_once().await {
                // A commit in between has taken the inline rows away, as an overwrite does: there may be others.
                Err(error) if is_race(&error) && tries < TRIES => {}
                ended => return ended,
            }
        }
    }

    async fn flush_once(self: &Arc<Self>) -> Result<Flushed> {
        drop(self.writer().await?);
        let no_commit_yet = Arc::clone(&self.unnamed_files).read_owned().await;
        let view = self.view().await?;
        let inline: Vec<Arc<DataFile>> = view.files().filter(|file| file.is_inline()).cloned().collect();
        if inline.is_empty() {
            return Ok(Flushed { rows: 0, inline_files: 0, files: 0, sequence: view.sequence() });
        }
        let replaced = Replaced::Rewritten(inline.iter().map(|file| file.id).collect());
        let (inline_files, rows) = (inline.len(), self.rows_of(inline));
        let request = WriteRequest {
            location: self.record.location.clone(),
            schema: Arc::clone(self.schema()),
            options: TableOptions { inline: InlineOptions::OFF, ..self.options().clone() },
            rows: vec![rows],
        };
        let files = self.shared.storage.write(request).await?;
        let unnamed =
            Unnamed { place: 0, table: Arc::clone(self), operation: Operation::Flush, replaced, files, source: None };
        let written = publish_files(&self.shared, vec![unnamed], vec![no_commit_yet]).await?;
        let (rows, files) = written.iter().fold((0, 0), |(rows, files), one| (rows + one.rows, files + one.files));
        Ok(Flushed { rows, inline_files, files, sequence: self.view.load().sequence() })
    }

    /// Returns the rows of inline files, in the order in which the files were written.
    fn rows_of(self: &Arc<Self>, files: Vec<Arc<DataFile>>) -> RowStream {
        let table = Arc::clone(self);
        stream::iter(files).map(move |file| table.inline_rows(&file)).boxed()
    }

    /// Returns the rows of an inline data file.
    ///
    /// # Errors
    ///
    /// `Corrupt` if the bytes are not what was written.
    pub fn inline_rows(&self, file: &Arc<DataFile>) -> Result<RecordBatch> {
        self.shared.storage.inline_rows(file, self.schema()).map_err(|error| error.with("table", self.name()))
    }

    /// Begins to flush in the background if the inline rows have passed a limit and nobody flushes them yet.
    pub(crate) fn flush_if_full(table: &Arc<Self>) {
        if !table.is_full() {
            return;
        }
        if let Err(error) = table.flushing.begin("cayenne-flush", || Arc::clone(table).flush_while_full()) {
            tracing::warn!(%error, table = %table.name(), "inline rows were not flushed");
        }
    }

    fn is_full(&self) -> bool {
        self.options().inline.is_full(self.view.load().snapshot().inline())
    }

    async fn flush_while_full(self: Arc<Self>) {
        while self.is_full() {
            if let Err(error) = self.flush().await {
                // The rows are safe where they are; the next write tries again.
                tracing::warn!(%error, table = %self.name(), "inline rows were not flushed");
                return;
            }
        }
    }

    /// Returns the options for the next write.
    pub(crate) fn options_of_write(&self) -> TableOptions {
        let options = self.options().clone();
        if self.view.load().snapshot().inline().bytes < INLINE_BYTES_MAX {
            return options;
        }
        TableOptions { inline: InlineOptions::OFF, ..options }
    }
}

fn is_race(error: &cayenne_format::Error) -> bool {
    error.kind() == ErrorKind::Conflict && error.stable_code() != "fenced"
}
