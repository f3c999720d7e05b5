//! Rewrites: the visible rows of files are written to new files, without the rows that were hidden when the rewrite
//! began. Rows that became hidden meanwhile are hidden in the new files.

use crate::write::replaced::Fold;
use crate::write::replaced::Input;
use crate::write::replaced::Rewrite;
use std::sync::Arc;

use arrow_array::RecordBatch;
use cayenne_deletes::{DeletionVector, RowMap, hide_positions, pick_fold};
use cayenne_format::{
    DataFile, Error, ErrorKind, InlineOptions, NewDataFile, Operation, Result, Sequence, TableOptions,
};
use cayenne_storage::{ReadRequest, RowStream, WriteRequest};
use datafusion_execution::memory_pool::MemoryPool;
use futures::{StreamExt as _, TryStreamExt as _, future, stream};
use tokio::sync::OwnedRwLockReadGuard;

use crate::keys::KeyRule;
use crate::visibility::rows::RowPositions;
use crate::write::replaced::Replaced;
use crate::write::together::{Unnamed, publish_files};
use crate::{Table, View, task};

/// How a rewrite is done.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// A caller waits for it.
    Waited,
    /// No caller waits for it, and other work needs the processors.
    Beside,
}

/// What a rewrite did.
pub(crate) struct Rewritten {
    pub(crate) rows: u64,
    /// The length of the new files, in bytes.
    pub(crate) bytes: u64,
    /// The number of new files.
    pub(crate) files: usize,
    /// The sequence of the table afterwards.
    pub(crate) sequence: Sequence,
}

/// Returns whether a rewrite failed because another commit, such as an overwrite, has removed its files.
pub(crate) fn is_race(error: &Error) -> bool {
    error.kind() == ErrorKind::Conflict && error.stable_code() != "fenced"
}

impl Table {
    /// Begins the rewrite of these files, without the rows that a view hides.
    pub(crate) async fn rewrite(&self, view: &View, files: Vec<Arc<DataFile>>) -> Result<Rewrite> {
        let mut inputs = Vec::with_capacity(files.len());
        for file in files {
            let left_out = self.hidden(view, &file).await?;
            inputs.push(Input { file, left_out });
        }
        Ok(Rewrite { inputs, folds: Vec::new() })
    }

    /// Writes the visible rows of the files to new files, and commits those in their place.
    ///
    /// The caller must have taken `no_commit_yet` before the view that the rewrite is based on.
    pub(crate) async fn rewrite_files(
        self: &Arc<Self>,
        rewrite: Rewrite,
        operation: Operation,
        pace: Pace,
        no_commit_yet: OwnedRwLockReadGuard<()>,
    ) -> Result<Rewritten> {
        let request = WriteRequest {
            location: self.record.location.clone(),
            schema: Arc::clone(self.schema()),
            options: TableOptions { inline: InlineOptions::OFF, ..self.options().clone() },
            rows: vec![self.rows_of(&rewrite, operation)],
            index: self.index_rows(KeyRule::Unchecked),
            memory: Some(self.memory_of(operation)),
        };
        let files = self.write_at(pace, request).await?;
        let sum = |of: fn(&NewDataFile) -> u64| files.iter().map(of).sum();
        let (rows, bytes) = (sum(|new| new.file.rows), sum(|new| new.file.bytes));
        self.warm_key_indexes(&files).await;
        let unnamed = Unnamed {
            place: 0,
            table: Arc::clone(self),
            operation,
            replaced: Replaced::Rewritten(rewrite),
            found: None,
            rule: KeyRule::Unchecked,
            deleted: None,
            files,
            source: None,
        };
        let written = publish_files(&self.shared, vec![unnamed], vec![no_commit_yet]).await?;
        let files = written.iter().map(|one| one.files).sum();
        Ok(Rewritten { rows, bytes, files, sequence: self.view.load().sequence() })
    }

    /// Encodes and writes the new files; with [`Pace::Beside`] at low priority. This is nearly all of the work of a
    /// rewrite, and holds no lock that others wait for.
    async fn write_at(&self, pace: Pace, request: WriteRequest) -> Result<Vec<NewDataFile>> {
        let shared = Arc::clone(&self.shared);
        let write = async move { shared.storage.write(request).await };
        match pace {
            Pace::Waited => write.await,
            Pace::Beside => task::with_low_priority("cayenne-encode", write).await,
        }
    }

    /// Returns the visible rows of the files, one file after the other. A compaction ends with an error when the
    /// database is closed, so that closing does not wait for it.
    fn rows_of(self: &Arc<Self>, rewrite: &Rewrite, operation: Operation) -> RowStream {
        let inputs: Vec<_> = rewrite.inputs().map(|(file, hidden)| (Arc::clone(file), hidden.cloned())).collect();
        let (table, shared, memory) = (Arc::clone(self), Arc::clone(&self.shared), self.memory_of(operation));
        let rows = stream::iter(inputs)
            .then(move |(file, hidden)| Arc::clone(&table).visible_rows_of(file, hidden, Arc::clone(&memory)));
        let unless_closing = move |batch| {
            let is_over = operation == Operation::Compact && shared.maintenance.is_closing();
            future::ready(if is_over { Err(Error::unavailable("the database is being closed")) } else { Ok(batch) })
        };
        rows.try_flatten().and_then(unless_closing).boxed()
    }

    /// Returns the memory pool that a rewrite is charged to.
    fn memory_of(&self, operation: Operation) -> Arc<dyn MemoryPool> {
        match operation {
            Operation::Compact => Arc::clone(&self.shared.compaction_memory),
            _ => Arc::clone(self.shared.storage.memory()),
        }
    }

    async fn visible_rows_of(
        self: Arc<Self>,
        file: Arc<DataFile>,
        hidden: Option<Arc<DeletionVector>>,
        memory: Arc<dyn MemoryPool>,
    ) -> Result<RowStream> {
        let request = ReadRequest { memory: Some(memory), is_last: true, ..self.read_request(&file, &Arc::default()) };
        let rows = self.shared.storage.read(request, Arc::clone(self.schema())).await?;
        let Some(hidden) = hidden else { return Ok(rows) };
        let mut begin = 0;
        let visible = move |batch: RecordBatch| {
            let from = begin;
            begin += batch.num_rows() as u64;
            future::ready(hide_positions(&batch, from, &hidden))
        };
        Ok(rows.and_then(visible).boxed())
    }

    /// Returns the rows of the new files that are copies of rows that became hidden after the rewrite had read them.
    pub(crate) async fn hidden_since(&self, base: &View, rewrite: &Rewrite, map: &RowMap) -> Result<RowPositions> {
        let mut hidden = RowPositions::default();
        for (file, left_out) in rewrite.inputs() {
            let Some(now) = self.hidden(base, file).await? else { continue };
            let since = left_out.map_or_else(|| now.as_ref().clone(), |left_out| now.without(left_out));
            for (output, rows) in map.carry(file.id, &since) {
                hidden.add(output, &rows);
            }
        }
        Ok(hidden)
    }

    /// Folds many small deletion files of one data file, so that their number stays bounded however long rows are
    /// hidden a few at a time. Inline data files are left out: they are about to be removed, with their deletion files.
    ///
    /// This happens before the turn of the commit: deletion files that are folded do not change, and those that are
    /// added meanwhile stay as they are until the next time. So no writer waits for it, however many rows are hidden.
    pub(crate) async fn fold_deletions(&self, view: &View) -> Result<Vec<Fold>> {
        let mut folds = Vec::new();
        let snapshot = view.snapshot();
        for file in snapshot.files_with_deletions().filter_map(|id| snapshot.file(id)).filter(|file| !file.is_inline())
        {
            // Deletion files of rows that were never visible are not folded, because the key index of the file leaves
            // those rows out.
            let deletions = snapshot.deletions_of(file.id).filter(|deletion| deletion.sequence > file.added_at);
            let deletions: Vec<_> = deletions.collect();
            let sizes: Vec<u64> = deletions.iter().map(|deletion| deletion.rows).collect();
            let Some(picked) = pick_fold(&sizes).and_then(|range| deletions.get(range)) else { continue };
            let mut together = DeletionVector::default();
            for deletion in picked {
                together.add(&self.read_deletion(file, deletion).await?);
            }
            let into = self.deletion_file(file.id, &together).await?;
            folds.push(Fold { into, of: picked.iter().map(|deletion| deletion.id).collect() });
        }
        Ok(folds)
    }
}
