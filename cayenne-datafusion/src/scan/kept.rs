//! The data files that a scan reads, and the rows that it returns from each.

use std::sync::Arc;

use cayenne_deletes::DeletionVector;
use cayenne_format::DataFile;
use vortex::scan::selection::Selection;

/// Maximum number of rows of a data file that are read one by one. This takes about as long as a scan of a small file.
const DIRECT_ROWS_MAX: u64 = 512;

/// A data file that a scan reads.
#[derive(Clone, Debug)]
pub(crate) struct KeptFile {
    pub(crate) file: Arc<DataFile>,
    /// The index of the file in the view, in a scan with identity columns.
    pub(crate) place: u32,
    pub(crate) rows: GivenRows,
}

/// The rows of a data file that a scan returns.
#[derive(Clone, Debug)]
pub(crate) enum GivenRows {
    /// All rows.
    All,
    /// All rows except the hidden ones.
    AllBut(Arc<DeletionVector>),
    /// The rows that were looked up.
    Only(Arc<DeletionVector>),
}

impl GivenRows {
    /// Returns the number of rows that are returned from a data file.
    pub(crate) fn count(&self, file: &DataFile) -> u64 {
        match self {
            Self::All => file.rows,
            Self::AllBut(hidden) => file.rows.saturating_sub(hidden.len()),
            Self::Only(found) => found.len(),
        }
    }

    /// Returns the positions of the rows that are returned from a data file with `rows` rows.
    pub(crate) fn positions(&self, rows: u64) -> impl Iterator<Item = u64> {
        let all = |has: fn(&Self, u64) -> bool| (0..rows).filter(move |position| has(self, *position));
        let (all, found) = match self {
            Self::All => (Some(all(|_, _| true)), None),
            Self::AllBut(_) => {
                (Some(all(|given, position| !matches!(given, Self::AllBut(hidden) if hidden.hides(position)))), None)
            }
            Self::Only(found) => (None, Some(found.positions())),
        };
        all.into_iter().flatten().chain(found.into_iter().flatten())
    }

    pub(crate) fn selection(&self) -> Option<Selection> {
        match self {
            Self::All => None,
            Self::AllBut(hidden) => Some(Selection::ExcludeRoaring(hidden.as_treemap().clone())),
            Self::Only(found) => Some(Selection::IncludeRoaring(found.as_treemap().clone())),
        }
    }
}

impl KeptFile {
    /// Returns the number of rows that are returned.
    pub(crate) fn given_rows(&self) -> u64 {
        self.rows.count(&self.file)
    }

    /// Says whether the rows are read without a scan of Vortex.
    pub(crate) fn is_direct(&self) -> bool {
        self.file.is_inline() || matches!(&self.rows, GivenRows::Only(found) if found.len() <= DIRECT_ROWS_MAX)
    }

    /// Returns the number of hidden rows that the scan must leave out.
    pub(crate) fn hidden_rows(&self) -> u64 {
        match &self.rows {
            GivenRows::AllBut(hidden) => hidden.len(),
            GivenRows::All | GivenRows::Only(_) => 0,
        }
    }
}
