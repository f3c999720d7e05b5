//! Files whose rows are written into new ones: which rows were left out, and what became hidden meanwhile.

use std::sync::Arc;

use arrow_array::RecordBatch;
use cayenne_deletes::{DeletionVector, RowMap, hide_positions, pick_fold};
use cayenne_format::{
    Change, DataFile, DeletionFile, Error, ErrorKind, FileId, InlineOptions, NewDataFile, Operation, Result, Sequence,
    Snapshot, TableOptions,
};
use cayenne_storage::{ReadRequest, RowStream, WriteRequest};
use datafusion_execution::memory_pool::MemoryPool;
use futures::{StreamExt as _, TryStreamExt as _, future, stream};
use tokio::sync::OwnedRwLockReadGuard;

use crate::keys::KeyRule;
use crate::publish::Replaced;
use crate::rows::RowPositions;
use crate::together::{Unnamed, publish_files};
use crate::{Table, View, task};

/// The files that a rewrite has read, and the rows of each that were hidden then and are not in the new files.
#[derive(Clone, Debug)]
pub(crate) struct Rewrite {
    inputs: Vec<Input>,
    folds: Vec<Fold>,
}

#[derive(Clone, Debug)]
struct Input {
    file: Arc<DataFile>,
    left_out: Option<Arc<DeletionVector>>,
}

/// How a rewrite is done.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// Somebody waits for it.
    Waited,
    /// Nobody does, and others compute.
    Beside,
}

/// What a rewrite did.
pub(crate) struct Rewritten {
    pub(crate) rows: u64,
    /// Those of the new files.
    pub(crate) bytes: u64,
    /// The number of new files.
    pub(crate) files: usize,
    /// The sequence of the table afterwards.
    pub(crate) sequence: Sequence,
}

/// Says whether a rewrite failed because another commit has taken its files away, as an overwrite does.
pub(crate) fn is_race(error: &Error) -> bool {
    error.kind() == ErrorKind::Conflict && error.stable_code() != "fenced"
}

/// Deletion files of one data file, and the one that takes their place. It is on the disk, or so short that it goes into
/// the commit.
#[derive(Clone, Debug)]
pub(crate) struct Fold {
    into: DeletionFile,
    of: Vec<FileId>,
}

impl Fold {
    /// Says whether all that it takes the place of is still there.
    fn fits(&self, snapshot: &Snapshot) -> bool {
        self.of.iter().all(|id| snapshot.deletion(*id).is_some())
    }
}

impl Rewrite {
    /// Takes deletion files together in the same commit.
    pub(crate) fn with_folds(self, folds: Vec<Fold>) -> Self {
        Self { folds, ..self }
    }

    /// Returns the changes of a commit after `base` that take deletion files together. Where something has gone meanwhile,
    /// as with a data file that was overwritten, there is nothing to take together.
    pub(crate) fn folds(&self, base: &View) -> Vec<Change> {
        let fitting = self.folds.iter().filter(|fold| fold.fits(base.snapshot())).cloned();
        fitting.map(|Fold { into, of }| Change::FoldDeletions { into, of }).collect()
    }

    /// Returns the ids of the files.
    pub(crate) fn files(&self) -> Vec<FileId> {
        self.inputs.iter().map(|input| input.file.id).collect()
    }

    /// Returns the files, and what is left out of each.
    pub(crate) fn inputs(&self) -> impl Iterator<Item = (&Arc<DataFile>, Option<&Arc<DeletionVector>>)> {
        self.inputs.iter().map(|input| (&input.file, input.left_out.as_ref()))
    }

    /// Returns where each row went, if these are the files it went to.
    pub(crate) fn map(&self, outputs: &[NewDataFile]) -> Result<RowMap> {
        let left_out = |input: &Input| input.left_out.as_deref().cloned().unwrap_or_default();
        let inputs = self.inputs.iter().map(|input| (input.file.id, input.file.rows, left_out(input))).collect();
        RowMap::new(inputs, outputs.iter().map(|new| (new.file.id, new.file.rows)).collect())
    }
}

impl Table {
    /// Begins the rewrite of these files, as a view has them.
    pub(crate) async fn rewrite(&self, view: &View, files: Vec<Arc<DataFile>>) -> Result<Rewrite> {
        let mut inputs = Vec::with_capacity(files.len());
        for file in files {
            let left_out = self.hidden(view, &file).await?;
            inputs.push(Input { file, left_out });
        }
        Ok(Rewrite { inputs, folds: Vec::new() })
    }

    /// Writes the visible rows of the files into new ones, and puts those in their place.
    ///
    /// `no_commit_yet` was taken before the view that the rewrite is of.
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

    /// Encodes and writes. Beside others this takes nearly all of the time of a rewrite, and no lock that anybody waits for.
    async fn write_at(&self, pace: Pace, request: WriteRequest) -> Result<Vec<NewDataFile>> {
        let shared = Arc::clone(&self.shared);
        let write = async move { shared.storage.write(request).await };
        match pace {
            Pace::Waited => write.await,
            Pace::Beside => task::with_low_priority("cayenne-encode", write).await,
        }
    }

    /// Returns the visible rows of the files, one file after the other. Nobody waits for a compaction to end: it ends when
    /// the database is closed.
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

    /// Returns what a rewrite is charged to.
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

    /// Takes many small deletion files of one data file together, so that their number stays bounded however long rows are
    /// hidden a few at a time. Inline data files are about to go, and theirs with them.
    ///
    /// It is done before the turn of the commit: what is folded does not change, and what comes to it meanwhile stays as it
    /// is until the next time. So no writer waits for it, however many rows are hidden.
    pub(crate) async fn fold_deletions(&self, view: &View) -> Result<Vec<Fold>> {
        let mut folds = Vec::new();
        let snapshot = view.snapshot();
        for file in snapshot.files_with_deletions().filter_map(|id| snapshot.file(id)).filter(|file| !file.is_inline())
        {
            // What hides rows that were never visible stays apart: the key index of the file does without them.
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

#[cfg(test)]
mod tests {
    use arrow_schema::Schema;
    use cayenne_format::{Location, Sequence, TableId};

    use super::*;

    fn deletion(number: u8) -> DeletionFile {
        let (id, data_file) = (FileId::from_bytes([number; 16]), FileId::from_bytes([0; 16]));
        let location = Location::Inline(Vec::new().into());
        DeletionFile { id, data_file, location, rows: 1, sequence: Sequence::ZERO }
    }

    fn view(deletions: &[u8]) -> View {
        let deletions = deletions.iter().map(|number| deletion(*number));
        let snapshot = Snapshot::from_records(TableId::from_bytes([9; 16]), Sequence::ZERO, [], deletions, []);
        View::new(snapshot, Arc::new(Schema::empty()))
    }

    #[test]
    fn deletion_files_are_folded_only_if_all_of_them_are_still_there() {
        let of: Vec<_> = [1, 2].map(|number| deletion(number).id).into();
        let fold = Fold { into: deletion(7), of: of.clone() };
        let rewrite = Rewrite { inputs: Vec::new(), folds: vec![fold] };
        let folded = vec![Change::FoldDeletions { into: deletion(7), of }];
        assert_eq!(rewrite.folds(&view(&[1, 2])), folded);
        assert_eq!(rewrite.folds(&view(&[1, 2, 3])), folded, "what came later stays apart");
        assert_eq!(rewrite.folds(&view(&[1, 3])), []);
        assert_eq!(rewrite.folds(&view(&[])), []);
    }
}
