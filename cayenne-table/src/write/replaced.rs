//! The files that a commit replaces.

use std::sync::Arc;

use cayenne_deletes::{DeletionVector, RowMap};
use cayenne_format::{Change, DataFile, DeletionFile, FileId, NewDataFile, Requirement, Result, Snapshot};

use crate::View;

/// The files that are no longer part of a table once the new files are.
#[derive(Clone, Debug)]
pub(crate) enum Replaced {
    /// None.
    Nothing,
    /// All files of the table.
    Everything,
    /// These files, whose rows are in the new files.
    Rewritten(Rewrite),
    /// These files, whose rows are lost.
    Lost(Vec<FileId>),
}

impl Replaced {
    pub(crate) fn of(&self, base: &View) -> Vec<FileId> {
        match self {
            Self::Nothing => Vec::new(),
            Self::Everything => base.files().map(|file| file.id).collect(),
            Self::Rewritten(rewrite) => rewrite.files(),
            Self::Lost(files) => files.clone(),
        }
    }

    /// Returns the requirement under which the files may be replaced.
    pub(crate) fn requirement(&self, base: &View) -> Option<Requirement> {
        match self {
            Self::Nothing => None,
            Self::Everything => Some(Requirement::SnapshotIs(base.sequence())),
            Self::Rewritten(_) | Self::Lost(_) => Some(Requirement::FilesLive(self.of(base))),
        }
    }
}

/// The input files of a rewrite, and the rows of each that were hidden when it began and are not in the new files.
#[derive(Clone, Debug)]
pub(crate) struct Rewrite {
    pub(crate) inputs: Vec<Input>,
    pub(crate) folds: Vec<Fold>,
}

#[derive(Clone, Debug)]
pub(crate) struct Input {
    pub(crate) file: Arc<DataFile>,
    pub(crate) left_out: Option<Arc<DeletionVector>>,
}

/// Deletion files of one data file, and the deletion file that they are folded into. That one is on the disk already,
/// or short enough to go into the commit.
#[derive(Clone, Debug)]
pub(crate) struct Fold {
    pub(crate) into: DeletionFile,
    pub(crate) of: Vec<FileId>,
}

impl Fold {
    /// Returns whether all deletion files that it replaces are still there.
    fn fits(&self, snapshot: &Snapshot) -> bool {
        self.of.iter().all(|id| snapshot.deletion(*id).is_some())
    }
}

impl Rewrite {
    /// Folds deletion files in the same commit.
    pub(crate) fn with_folds(self, folds: Vec<Fold>) -> Self {
        Self { folds, ..self }
    }

    /// Returns the changes that fold deletion files in a commit after `base`. A fold is left out if any of its deletion
    /// files is gone, for example because the data file was overwritten.
    pub(crate) fn folds(&self, base: &View) -> Vec<Change> {
        let fitting = self.folds.iter().filter(|fold| fold.fits(base.snapshot())).cloned();
        fitting.map(|Fold { into, of }| Change::FoldDeletions { into, of }).collect()
    }

    /// Returns the ids of the input files.
    pub(crate) fn files(&self) -> Vec<FileId> {
        self.inputs.iter().map(|input| input.file.id).collect()
    }

    /// Returns the input files, and the rows of each that are left out.
    pub(crate) fn inputs(&self) -> impl Iterator<Item = (&Arc<DataFile>, Option<&Arc<DeletionVector>>)> {
        self.inputs.iter().map(|input| (&input.file, input.left_out.as_ref()))
    }

    /// Returns the row map from the input files to the new files `outputs`.
    pub(crate) fn map(&self, outputs: &[NewDataFile]) -> Result<RowMap> {
        let left_out = |input: &Input| input.left_out.as_deref().cloned().unwrap_or_default();
        let inputs = self.inputs.iter().map(|input| (input.file.id, input.file.rows, left_out(input))).collect();
        RowMap::new(inputs, outputs.iter().map(|new| (new.file.id, new.file.rows)).collect())
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
