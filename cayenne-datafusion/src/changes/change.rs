//! What a statement does with the rows that it finds.

use std::fmt;
use std::sync::Arc;

/// What becomes of the rows that a statement finds, and so which columns it hands on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// The position and the place of the file: rows that go.
    Delete,
    /// The column of the primary key: the rows that have these keys go.
    DeleteKeys,
    /// The columns of the table, the position and the place of the file: rows that come in place of others.
    Update,
    /// The columns of the table if it `writes` any, the position, the place of the file, and the clause that applies, or
    /// null for none.
    Merge {
        /// What each clause does.
        verbs: Arc<[Verb]>,
        /// Some clause brings rows.
        writes: bool,
    },
}

/// What a clause does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verb {
    Insert,
    Update,
    Delete,
}

impl Change {
    /// Says whether rows come.
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
