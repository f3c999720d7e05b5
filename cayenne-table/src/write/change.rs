//! Row changes by position: hides the rows that a statement has found and adds others in their place.

use std::sync::Arc;

use cayenne_format::{Error, Operation, Result};

use crate::visibility::rows::{RowChange, SeenRows};
use crate::write::together::{TableWrite, write_together};
use crate::{Table, View, Written};

impl Table {
    /// Hides rows that were found in a view and adds others, in one commit.
    ///
    /// If another commit has hidden some of the rows since, a change that adds no rows leaves those out, and a change
    /// that adds rows fails with `Conflict` (code `row-changed`). A change also fails with this conflict if its rows
    /// may have moved to unknown positions: because another process has been the writer since, or because the view is
    /// of a past snapshot. In a table with a primary key, it is an error (code `duplicate-key`) to add a row whose key
    /// a remaining row has.
    ///
    /// # Errors
    ///
    /// `Invalid` (code `invalid-write`) for a view of another table; otherwise as [`append`](Self::append). On an
    /// error, nothing is changed.
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
    /// Sets the rows that the write hides. They are complete once the streams have ended.
    fn hiding(mut self, view: &View, rows: SeenRows) -> Self {
        self.hidden = Some((view.sequence(), rows));
        self
    }
}
