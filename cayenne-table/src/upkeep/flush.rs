//! Flush: moves inline rows to data files, on demand, or in the background once they exceed the limits of their table.

use std::sync::Arc;

use arrow_array::RecordBatch;
use cayenne_format::{DataFile, InlineOptions, Operation, Result, Sequence, Snapshot, TableOptions};

use crate::Table;
use crate::state::counters::Upkeep;
use crate::upkeep::rewrite::{Pace, is_race};
use crate::visibility::tombstones::has_many_tombstones;

/// Number of inline bytes of a table from which every write goes to data files, however small it is. Every reader holds
/// inline rows in memory; this bounds them even if the table is written faster than it is flushed.
const INLINE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Once a table has this many deletion files, and `DELETIONS_EACH_MAX` for each data file that has any, a flush folds
/// those of each data file, whether or not there are inline rows. This bounds the cost of opening a table, however long
/// its rows change. Folding leaves at most 33 deletion files for a data file of 2^32 rows.
const DELETIONS_MAX: usize = 512;
const DELETIONS_EACH_MAX: usize = 40;

/// How often a flush is tried while other commits remove its inline rows.
const TRIES: usize = 3;

/// What a flush did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flushed {
    /// The number of rows that moved.
    pub rows: u64,
    /// The number of inline data files that the rows were in.
    pub inline_files: usize,
    /// The number of data files that the rows are in now.
    pub files: usize,
    /// The sequence of the table afterwards.
    pub sequence: Sequence,
}

impl Table {
    /// Moves inline rows to data files. Does not change which rows are visible.
    ///
    /// # Errors
    ///
    /// As [`append`](Self::append).
    pub async fn flush(self: &Arc<Self>) -> Result<Flushed> {
        self.flush_at(Pace::Waited).await
    }

    async fn flush_at(self: &Arc<Self>, pace: Pace) -> Result<Flushed> {
        // If two flushes moved the same rows, one of them would write its files in vain.
        let _one_at_a_time = self.flush_turn.lock().await;
        let mut tries = 0;
        loop {
            tries += 1;
            match self.flush_once(pace).await {
                // A commit in between, such as an overwrite, has removed the inline rows. There may be others.
                Err(error) if is_race(&error) && tries < TRIES => {}
                ended => return ended,
            }
        }
    }

    async fn flush_once(self: &Arc<Self>, pace: Pace) -> Result<Flushed> {
        drop(self.writer().await?);
        let no_commit_yet = Arc::clone(&self.unnamed_files).read_owned().await;
        let view = self.view().await?;
        let inline: Vec<Arc<DataFile>> = view.files().filter(|file| file.is_inline()).cloned().collect();
        if inline.is_empty() && !has_many_deletions(view.snapshot()) {
            return Ok(Flushed { rows: 0, inline_files: 0, files: 0, sequence: view.sequence() });
        }
        let inline_files = inline.len();
        let rewrite = self.rewrite(&view, inline).await?.with_folds(self.fold_deletions(&view).await?);
        let written = self.rewrite_files(rewrite, Operation::Flush, pace, no_commit_yet).await?;
        Ok(Flushed { rows: written.rows, inline_files, files: written.files, sequence: written.sequence })
    }

    /// Returns the rows of an inline data file.
    ///
    /// # Errors
    ///
    /// `Corrupt` if the bytes are not what was written.
    pub fn inline_rows(&self, file: &Arc<DataFile>) -> Result<RecordBatch> {
        self.shared.storage.inline_rows(file, self.schema()).map_err(|error| error.with("table", self.name()))
    }

    /// Begins a background flush, if the table has passed a limit for inline rows or deletions and no background flush
    /// is running.
    pub(crate) fn flush_if_full(table: &Arc<Self>) {
        if !table.is_full() {
            return;
        }
        if let Err(error) = table.flushing.begin("cayenne-flush", || Arc::clone(table).flush_while_full()) {
            tracing::warn!(%error, table = %table.name(), "inline rows were not flushed");
        }
    }

    fn is_full(&self) -> bool {
        let view = self.view.load();
        self.options().inline.is_full(view.snapshot().inline()) || has_many_deletions(view.snapshot())
    }

    async fn flush_while_full(self: Arc<Self>) {
        while self.is_full() {
            let flushed = self.flush_at(Pace::Beside).await;
            self.counters.note_upkeep(Upkeep::Flush, &flushed);
            if let Err(error) = flushed {
                // The rows are safe where they are; the next write tries again.
                tracing::warn!(%error, table = %self.name(), "inline rows were not flushed");
                return;
            }
        }
        Self::look_after(&self);
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

fn has_many_deletions(snapshot: &Snapshot) -> bool {
    if has_many_tombstones(snapshot) {
        return true;
    }
    let each = snapshot.files_with_deletions().len().saturating_mul(DELETIONS_EACH_MAX);
    snapshot.deletions().len() >= DELETIONS_MAX.max(each)
}
