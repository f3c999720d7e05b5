//! The kinds of row changes that a statement makes.

use std::fmt;
use std::sync::Arc;

/// What a statement does with the rows that it finds. It determines the columns that the query returns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Deletes rows. Columns: the row's position and the index of its file.
    Delete,
    /// Deletes rows by key. Column: the primary key of the rows to delete.
    DeleteKeys,
    /// Updates rows. Columns: the new values of the table's columns, the old row's position and the index of its file.
    Update,
    /// Merges rows. Columns: the table's columns (only if `writes`), the row's position, the index of its file, and the
    /// index of the clause that applies (null if none does).
    Merge {
        /// The action of each clause.
        verbs: Arc<[Verb]>,
        /// Whether any clause adds rows.
        writes: bool,
    },
}

/// The action of one `MERGE` clause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Insert,
    Update,
    Delete,
}

impl Change {
    /// Says whether the change adds rows.
    pub(crate) fn writes(&self) -> bool {
        match self {
            Self::Update => true,
            Self::Delete | Self::DeleteKeys => false,
            Self::Merge { writes, .. } => *writes,
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Delete => "delete from",
            Self::DeleteKeys => "delete by key from",
            Self::Update => "update",
            Self::Merge { .. } => "merge into",
        })
    }
}
