//! What became of a write: what it did, and whether one that failed was applied.

use cayenne_format::{Error, ErrorKind, Location, NewDataFile, Sequence, TableName};

/// What a write did. It is durable and visible.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written {
    /// The number of rows written.
    pub rows: u64,
    /// The number of rows that were visible before and are no longer.
    pub rows_removed: u64,
    /// The number of data files written, inline ones included.
    pub files: usize,
    /// The sequence of the table after the write.
    pub sequence: Sequence,
    /// The rows come from a position of their source that the table has taken in before: nothing was written.
    pub is_repeated: bool,
}

/// Says whether an error proves that a commit was not applied, so that its files are nobody's.
///
/// After an answer that was lost, and after a bug, they may be named yet: then collect decides.
pub(crate) fn was_not_applied(error: &Error) -> bool {
    error.kind() != ErrorKind::Internal && !matches!(error.stable_code(), "commit-unknown" | "commit-lost")
}
/// Says which table it is that rows do not fit: what writes them knows only its columns.
pub(crate) fn of_rows(error: Error, table: &TableName) -> Error {
    let is_about_rows =
        matches!(error.stable_code(), "null-in-column" | "wrong-type" | "wrong-columns" | "unsupported-type");
    if is_about_rows && error.facts().all(|(name, _)| name != "table") { error.with("table", table) } else { error }
}

/// Returns the names of the objects of data files; inline ones have none.
pub(crate) fn names_of(files: &[NewDataFile]) -> Vec<String> {
    let name = |new: &NewDataFile| match &new.file.location {
        Location::Path(name) => Some(name.clone()),
        Location::Inline(_) => None,
    };
    files.iter().filter_map(name).collect()
}
