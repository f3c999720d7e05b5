//! Rows that a statement has found, and their positions at the time of its commit.

use cayenne_format::{Error, Result, Sequence};

use crate::state::writer::WriterState;
use crate::visibility::rows::RowPositions;
use crate::{Table, View};

/// Rows that were found in a view and are to be hidden.
#[derive(Clone, Debug)]
pub(crate) struct FoundRows {
    /// The sequence of the view.
    pub(crate) seen_at: Sequence,
    pub(crate) rows: RowPositions,
    /// Whether the write adds rows that were computed from these. If so, none of these may have changed.
    pub(crate) is_replaced: bool,
}

impl Table {
    /// Returns the current positions of the found rows that are still visible.
    pub(crate) async fn still_visible(
        &self,
        writer: &WriterState,
        base: &View,
        found: &FoundRows,
    ) -> Result<RowPositions> {
        let moved = writer.where_now(found);
        let mut visible = RowPositions::default();
        for (id, rows) in moved.files() {
            let Some(file) = base.snapshot().file(id) else {
                if found.seen_at < writer.moved_since {
                    return Err(self.row_changed("rows that the statement changes may have moved meanwhile"));
                }
                continue;
            };
            if rows.max().is_some_and(|position| position >= file.rows) {
                return Err(
                    Error::internal("a statement hides a row that its data file does not have").with("file", id)
                );
            }
            match self.hidden(base, file).await? {
                None => visible.add(id, rows),
                Some(hidden) => visible.add(id, &rows.without(&hidden)),
            }
        }
        if found.is_replaced && visible.len() != found.rows.len() {
            return Err(self.row_changed("rows that the statement changes were changed by another one meanwhile"));
        }
        Ok(visible)
    }

    fn row_changed(&self, message: &'static str) -> Error {
        let error = Error::conflict(message).code("row-changed").with("table", self.name());
        error.help("nothing was changed; run the statement again")
    }
}

impl WriterState {
    /// Returns the current positions of rows that were found in an earlier view, following the rewrites that moved
    /// them.
    fn where_now(&self, found: &FoundRows) -> RowPositions {
        let mut rows = found.rows.clone();
        for (_, map) in self.moved.iter().filter(|(at, _)| *at > found.seen_at) {
            let mut next = RowPositions::default();
            for (file, vector) in rows.files() {
                if !map.has_input(file) {
                    next.add(file, vector);
                    continue;
                }
                for (output, vector) in map.carry(file, vector) {
                    next.add(output, &vector);
                }
            }
            rows = next;
        }
        rows
    }
}
