//! Apply: upserts and deletes of rows by key, in order and in one commit.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::{BooleanArray, RecordBatch};
use arrow_select::filter::filter_record_batch;
use cayenne_deletes::Keys;
use cayenne_format::{Error, Result, SourcePosition};
use cayenne_storage::normalise;
use futures::{StreamExt as _, stream};

use crate::write::together::TableWrite;
use crate::{Table, Written};

/// What a change does to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// Adds the row, or replaces the row that has its key.
    Upsert,
    /// Deletes the row that has its key, if there is one. The values of the other columns do not matter.
    Delete,
}

/// Row changes, in order.
#[derive(Clone, Debug)]
pub struct RowChanges {
    /// The change of each row of `rows`.
    pub kinds: Vec<ChangeKind>,
    /// The rows, with all columns of the table.
    pub rows: RecordBatch,
}

impl Table {
    /// Applies row changes by key in one commit, batch after batch and each batch in its order. Of several changes of
    /// one key, the last one counts. To change a key, delete the old key and upsert the new one.
    ///
    /// If `source` is given and the table has committed that position before, nothing is changed: changes may be sent
    /// again after their answer was lost.
    ///
    /// # Errors
    ///
    /// `Invalid` (code `no-primary-key`) if the table does not detect key conflicts; `Invalid` for a batch that has
    /// another number of kinds than of rows; otherwise as [`append`](Self::append). On an error, nothing is changed.
    pub async fn apply(self: &Arc<Self>, changes: Vec<RowChanges>, source: Option<SourcePosition>) -> Result<Written> {
        let last = self.last_changes(&changes)?;
        let mut write = TableWrite::upsert(self, vec![stream::iter(last.rows.into_iter().map(Ok)).boxed()]);
        write.deleted = Some(last.deleted);
        self.write_one(match source {
            Some(source) => write.from_source(source),
            None => write,
        })
        .await
    }

    /// Keeps the last change of each key.
    fn last_changes(&self, changes: &[RowChanges]) -> Result<LastChanges> {
        let codec = self.codec()?;
        let keys = changes.iter().map(|batch| self.keys_of(batch)).collect::<Result<Vec<_>>>()?;
        let mut last: HashMap<u128, (usize, usize)> = HashMap::new();
        for (batch, keys) in keys.iter().enumerate() {
            last.extend((0..keys.len()).filter_map(|row| Some((keys.get(row)?, (batch, row)))));
        }
        let mut deleted = Keys::of(codec.form(), []);
        let mut rows = Vec::with_capacity(changes.len());
        for (batch, (changes, keys)) in changes.iter().zip(&keys).enumerate() {
            let counts = |row: usize| keys.get(row).and_then(|key| last.get(&key)) == Some(&(batch, row));
            let kept = |kind: ChangeKind| {
                let kinds = changes.kinds.iter().enumerate();
                kinds.map(move |(row, found)| *found == kind && counts(row)).collect::<Vec<_>>()
            };
            let gone = kept(ChangeKind::Delete);
            deleted.extend(gone.iter().enumerate().filter(|(_, goes)| **goes).filter_map(|(row, _)| keys.get(row)));
            let stay = BooleanArray::from(kept(ChangeKind::Upsert));
            let batch = filter_record_batch(&changes.rows, &stay)
                .map_err(|error| Error::internal("changes of rows cannot be filtered").because(error))?;
            rows.push(batch);
        }
        Ok(LastChanges { deleted, rows })
    }

    fn keys_of(&self, changes: &RowChanges) -> Result<Keys> {
        if changes.kinds.len() != changes.rows.num_rows() {
            return Err(Error::invalid("the number of change operations differs from the number of rows")
                .code("invalid-write")
                .with("table", self.name())
                .with("rows", changes.rows.num_rows())
                .with("kinds", changes.kinds.len()));
        }
        let codec = self.codec()?;
        let places = self.options().primary_key.iter().map(|name| {
            changes.rows.schema().index_of(name).map_err(|_| {
                Error::invalid("the changes lack a column of the primary key")
                    .code("null-key")
                    .with("table", self.name())
                    .with("column", name)
            })
        });
        let failed = |error| Error::internal("key columns cannot be taken out").because(error);
        let rows = changes.rows.project(&places.collect::<Result<Vec<_>>>()?).map_err(failed)?;
        let incoming = rows.schema();
        let keys = Arc::new(self.schema().project(codec.columns()).map_err(failed)?);
        let rows = normalise(rows, &incoming, &keys, self.options().unsupported_type_action)?;
        codec.keys_of(rows.columns())
    }
}

/// The last change of each key.
struct LastChanges {
    deleted: Keys,
    rows: Vec<RecordBatch>,
}
