//! The one rule that decides which rows are hidden.

use cayenne_format::Sequence;

use crate::DeletionVector;

/// What the rule needs to know about a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowState {
    /// The sequence of the commit that added the row.
    pub sequence: Sequence,
    /// The position of the row in its data file, from 0.
    pub position: u64,
}

/// Says whether a row is hidden, given the deletion vector of its data file and the highest sequence of a tombstone for
/// its key, if there are any.
///
/// A vector hides the positions that it contains. A tombstone hides only rows of earlier commits: a row of the same
/// commit or a later one replaces the row that the tombstone hides.
///
/// # Examples
///
/// ```
/// use cayenne_deletes::{RowState, is_hidden};
/// use cayenne_format::Sequence;
///
/// let row = RowState { sequence: Sequence::new(5)?, position: 0 };
/// assert!(is_hidden(row, None, Some(Sequence::new(6)?)));
/// assert!(!is_hidden(row, None, Some(Sequence::new(5)?)));
/// # Ok::<(), cayenne_format::Error>(())
/// ```
#[must_use]
pub fn is_hidden(row: RowState, vector: Option<&DeletionVector>, tombstone: Option<Sequence>) -> bool {
    vector.is_some_and(|vector| vector.hides(row.position))
        || tombstone.is_some_and(|tombstone| tombstone.hides(row.sequence))
}
