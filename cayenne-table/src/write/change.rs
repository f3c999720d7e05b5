//! Hiding rows that a statement has found, and adding others in their place.

use std::sync::Arc;

use cayenne_format::{Error, Operation, Result};

use crate::visibility::rows::{RowChange, SeenRows};
use crate::write::together::{TableWrite, write_together};
use crate::{Table, View, Written};

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
            let error = Error::invalid("the view belongs to another table").code("invalid-write");
            return Err(error.with("table", self.name()));
        }
        let operation = if rows.is_empty() { Operation::Delete } else { Operation::Upsert };
        let write = TableWrite::new(self, operation, rows).hiding(&view, hidden);
        let written = write_together(&self.shared, vec![write]).await?;
        drop(view);
        written.into_iter().next().ok_or_else(|| Error::internal("a write has no result"))
    }
}

impl TableWrite {
    /// Says which rows go once the streams have ended.
    fn hiding(mut self, view: &View, rows: SeenRows) -> Self {
        self.hidden = Some((view.sequence(), rows));
        self
    }
}
