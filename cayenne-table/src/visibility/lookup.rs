//! Looks up whole rows by their keys: finds them through the key indexes, and reads them one by one.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions, UInt64Array};
use arrow_select::take::take_record_batch;
use cayenne_deletes::DeletionVector;
use cayenne_format::{DataFile, Error, Result};

use crate::visibility::rows::RowPositions;
use crate::{Table, View};

impl Table {
    /// Returns the visible rows of a view that have these keys. `keys` has one array for each column of the primary
    /// key, in its order. Keys with a null match no row. `columns` are the indexes in the schema of the table of the
    /// columns to return.
    ///
    /// There is one batch for each data file that has such rows, ordered by position in the file.
    ///
    /// # Errors
    ///
    /// As [`find`](Self::find) and [`rows_at`](Self::rows_at).
    ///
    /// # Examples
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
    /// # use cayenne_format::TableOptions;
    /// # use cayenne_table::Database;
    /// # use futures::StreamExt as _;
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// let database = Database::builder(folder.path()).open().await?;
    /// let ids: ArrayRef = Arc::new(Int64Array::from(vec![7, 8]));
    /// let names: ArrayRef = Arc::new(StringArray::from(vec!["seven", "eight"]));
    /// let rows = RecordBatch::try_from_iter([("id", Arc::clone(&ids)), ("name", names)])?;
    /// let options = TableOptions { primary_key: vec!["id".into()], ..TableOptions::default() };
    /// let table = database.create_table(&"numbers".try_into()?, &rows.schema(), options).await?;
    /// table.append(vec![futures::stream::iter([Ok(rows)]).boxed()]).await?;
    ///
    /// let view = table.view().await?;
    /// let found = table.lookup(&view, &[ids.slice(1, 1)], &[1]).await?;
    /// assert_eq!(found[0].column(0).as_ref(), &StringArray::from(vec!["eight"]));
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn lookup(&self, view: &View, keys: &[ArrayRef], columns: &[usize]) -> Result<Vec<RecordBatch>> {
        let rows = self.find(view, keys).await?;
        self.rows_at(view, &rows, columns).await
    }

    /// Returns rows of a view by position: one batch for each data file, ordered by position in the file. `columns` are
    /// indexes of columns in the schema of the table.
    ///
    /// It costs some microseconds for each row and column, and decodes nothing else. For many rows, a scan is faster.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read); `Internal` for rows that no data file of the view has.
    pub async fn rows_at(&self, view: &View, rows: &RowPositions, columns: &[usize]) -> Result<Vec<RecordBatch>> {
        let mut batches = Vec::new();
        for (id, rows) in rows.files() {
            let file = view.snapshot().file(id).ok_or_else(|| {
                Error::internal("rows are asked for of a data file that the view does not have").with("file", id)
            })?;
            batches.push(self.rows_of_file(file, rows, columns).await?);
        }
        Ok(batches)
    }

    /// Returns rows of one data file by position, in that order. `columns` are indexes of columns in the schema of the
    /// table.
    ///
    /// # Errors
    ///
    /// As [`rows_at`](Self::rows_at).
    pub async fn rows_of_file(
        &self,
        file: &Arc<DataFile>,
        rows: &DeletionVector,
        columns: &[usize],
    ) -> Result<RecordBatch> {
        let positions: Vec<u64> = rows.positions().collect();
        if !file.is_inline() {
            let request = self.read_request(file, &Arc::default());
            return self.shared.storage.take(request, self.schema(), &positions, columns).await;
        }
        let cannot = |error| Error::internal("rows cannot be taken out of an inline data file").because(error);
        let rows = self.inline_rows(file)?.project(columns).map_err(cannot)?;
        if columns.is_empty() {
            let options = RecordBatchOptions::new().with_row_count(Some(positions.len()));
            return RecordBatch::try_new_with_options(rows.schema(), Vec::new(), &options).map_err(cannot);
        }
        take_record_batch(&rows, &UInt64Array::from(positions)).map_err(cannot)
    }
}
