//! The result of a write, and whether a failed write may have been applied.

use cayenne_format::{Error, ErrorKind, Location, NewDataFile, Sequence, TableName};

/// What a write did. The write is durable and visible.
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
    /// Whether the table had committed the source position of the rows before: nothing was written.
    pub is_repeated: bool,
}

/// Returns whether an error proves that a commit was not applied, so that its files belong to no table.
///
/// After a lost answer or a bug, a commit may still name them: `collect` decides then.
pub(crate) fn was_not_applied(error: &Error) -> bool {
    error.kind() != ErrorKind::Internal && !matches!(error.stable_code(), "commit-unknown" | "commit-lost")
}
/// Adds the table to an error about rows that do not fit: the component that writes rows knows only the columns.
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
