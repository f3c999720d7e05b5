//! Hiding rows that a statement has found, and adding others in their place.

use std::sync::Arc;

use cayenne_format::{Error, Operation, Result, Sequence};

use crate::rows::{RowChange, RowPositions, SeenRows};
use crate::together::{TableWrite, write_together};
use crate::writer::WriterState;
use crate::{Table, View, Written};

/// Rows that were found in a view and are to be hidden.
#[derive(Clone, Debug)]
pub(crate) struct FoundRows {
    /// The sequence of the view.
    pub(crate) seen_at: Sequence,
    pub(crate) rows: RowPositions,
    /// Whether others come in their place, which were made from them: then they must be as they were.
    pub(crate) is_replaced: bool,
}

impl Table {
    /// Hides rows that were found in a view and adds others, in one commit.
    ///
    /// Rows that another commit has hidden since are left out of a change that adds none; a change that adds rows is a
    /// `Conflict` (code `row-changed`) then. So is one of rows that may have moved to where nobody knows: another process was
    /// the writer since, or the view is one of the past. In a table with a primary key, a row that comes with the key of a row that
    /// stays is an error (code `duplicate-key`).
    ///
    /// # Errors
    ///
    /// `Invalid` (code `invalid-write`) for a view of another table; else as [`append`](Self::append). Nothing is changed then.
    pub async fn change(self: &Arc<Self>, change: RowChange) -> Result<Written> {
        let RowChange { view, hidden, rows } = change;
        if view.snapshot().table() != self.id() {
            let error = Error::invalid("rows were found in a view of another table").code("invalid-write");
            return Err(error.with("table", self.name()));
        }
        let operation = if rows.is_empty() { Operation::Delete } else { Operation::Upsert };
        let write = TableWrite::new(self, operation, rows).hiding(&view, hidden);
        let written = write_together(&self.shared, vec![write]).await?;
        drop(view);
        written.into_iter().next().ok_or_else(|| Error::internal("a write has no result"))
    }

    /// Returns those of the rows that are still there, where they are now.
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
    /// Returns where rows are now that were found in an earlier view, as far as they moved to other data files.
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

impl TableWrite {
    /// Says which rows go once the streams have ended.
    fn hiding(mut self, view: &View, rows: SeenRows) -> Self {
        self.hidden = Some((view.sequence(), rows));
        self
    }
}
