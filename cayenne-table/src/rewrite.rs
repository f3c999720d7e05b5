//! Files whose rows are written into new ones: which rows were left out, and what became hidden meanwhile.

use std::sync::Arc;

use arrow_array::RecordBatch;
use cayenne_deletes::{DeletionVector, RowMap, hide_positions, pick_fold};
use cayenne_format::{Change, DataFile, FileId, NewDataFile, Result};

use crate::rows::RowPositions;
use crate::{Table, View};

/// The files that a rewrite has read, and the rows of each that were hidden then and are not in the new files.
#[derive(Clone, Debug)]
pub(crate) struct Rewrite(Vec<Input>);

#[derive(Clone, Debug)]
struct Input {
    file: Arc<DataFile>,
    left_out: Option<Arc<DeletionVector>>,
}

impl Rewrite {
    /// Returns the ids of the files.
    pub(crate) fn files(&self) -> Vec<FileId> {
        self.0.iter().map(|input| input.file.id).collect()
    }

    /// Returns the files, and what is left out of each.
    pub(crate) fn inputs(&self) -> impl Iterator<Item = (&Arc<DataFile>, Option<&Arc<DeletionVector>>)> {
        self.0.iter().map(|input| (&input.file, input.left_out.as_ref()))
    }

    /// Returns where each row went, if these are the files it went to.
    pub(crate) fn map(&self, outputs: &[NewDataFile]) -> Result<RowMap> {
        let left_out = |input: &Input| input.left_out.as_deref().cloned().unwrap_or_default();
        let inputs = self.0.iter().map(|input| (input.file.id, input.file.rows, left_out(input))).collect();
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
        Ok(Rewrite(inputs))
    }

    /// Returns the visible rows of an inline data file.
    pub(crate) fn visible_inline_rows(
        &self,
        file: &Arc<DataFile>,
        hidden: Option<&Arc<DeletionVector>>,
    ) -> Result<RecordBatch> {
        let rows = self.inline_rows(file)?;
        match hidden {
            None => Ok(rows),
            Some(hidden) => hide_positions(&rows, 0, hidden),
        }
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

    /// Returns the changes that take many small deletion files of one data file together, so that their number stays
    /// bounded however long rows are hidden a few at a time. Data files that go have none any more.
    pub(crate) async fn fold_deletions(&self, base: &View, gone: &[FileId]) -> Result<Vec<Change>> {
        let mut changes = Vec::new();
        let snapshot = base.snapshot();
        for file in snapshot.files_with_deletions().filter(|id| !gone.contains(id)).filter_map(|id| snapshot.file(id)) {
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
            changes.push(Change::FoldDeletions { into, of: picked.iter().map(|deletion| deletion.id).collect() });
        }
        Ok(changes)
    }
}
