//! The rows that a statement finds: which of them to hide, and which rows to add.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, UInt32Type, UInt64Type};
use arrow_array::{Array, BooleanArray, PrimitiveArray, RecordBatch};
use cayenne_format::{Error, FileId, Result, TableName};
use cayenne_table::{SeenRows, Table, View};
use datafusion::arrow::compute::filter_record_batch;

use crate::changes::change::{Change, Verb};
use crate::error::error_of;

/// Splits the batches of a statement into rows to hide and rows to add. The streams of the statement share it.
#[derive(Clone)]
pub(crate) struct FoundRows {
    table: TableName,
    change: Change,
    /// Number of columns of the table.
    columns: usize,
    /// The data files of the view, by index.
    files: Arc<[FileId]>,
    hidden: SeenRows,
    changed: Arc<AtomicU64>,
}

impl FoundRows {
    pub(crate) fn new(table: &TableName, change: Change, columns: usize, files: Arc<[FileId]>) -> Self {
        let (hidden, changed) = (SeenRows::default(), Arc::default());
        Self { table: table.clone(), change, columns, files, hidden, changed }
    }

    /// Returns the kind of change.
    pub(crate) fn change(&self) -> &Change {
        &self.change
    }

    /// Returns the rows to hide that have been found so far.
    pub(crate) fn hidden(&self) -> &SeenRows {
        &self.hidden
    }

    /// Returns the number of changed rows so far.
    pub(crate) fn changed(&self) -> u64 {
        self.changed.load(Ordering::Acquire)
    }

    /// Records the rows to hide, and returns the rows to add.
    pub(crate) fn take(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let comes = match &self.change {
            // The rows are looked up later, once their keys have been gathered.
            Change::DeleteKeys => return Ok(batch.clone()),
            Change::Delete => self.deleted(&Places::of(batch, 0)?)?,
            Change::Update => self.updated(&Places::of(batch, self.columns)?)?,
            Change::Merge { verbs, writes } => {
                let first = if *writes { self.columns } else { 0 };
                self.merged(&Places::of(batch, first)?, clauses(batch, first + 2)?, verbs)?
            }
        };
        let columns = if self.change.writes() { self.columns } else { 0 };
        let rows = batch.project(&(0..columns).collect::<Vec<_>>()).map_err(|error| error_of(error.into()))?;
        filter_record_batch(&rows, &BooleanArray::from(comes)).map_err(|error| error_of(error.into()))
    }

    /// Looks up the rows with these keys in the view and records them as rows to hide.
    pub(crate) async fn look_up(&self, table: &Table, view: &View, keys: &RecordBatch) -> Result<()> {
        let rows = table.find(view, keys.columns()).await?;
        let found = rows.len();
        let before = self.hidden.add_all(rows);
        self.changed.fetch_add(found.saturating_sub(before), Ordering::AcqRel);
        Ok(())
    }

    fn deleted(&self, places: &Places<'_>) -> Result<Vec<bool>> {
        let rows = places.files.len();
        let mut begin = 0;
        while begin < rows {
            // Rows arrive file by file, so each run of one file is recorded in a single call.
            let file = places.files.value(begin);
            let run = (begin..rows).take_while(|row| places.files.value(*row) == file);
            let end = begin + run.count();
            let before = self.hidden.add(self.file(file)?, (begin..end).map(|row| places.positions.value(row)));
            let found = u64::try_from(end - begin).unwrap_or(u64::MAX);
            self.changed.fetch_add(found.saturating_sub(before), Ordering::AcqRel);
            begin = end;
        }
        Ok(vec![false; rows])
    }

    /// Records rows to update. A row that is found more than once is updated once.
    fn updated(&self, places: &Places<'_>) -> Result<Vec<bool>> {
        let comes: Vec<bool> = (0..places.files.len()).map(|row| self.is_new(places, row)).collect::<Result<_>>()?;
        let updated = comes.iter().filter(|comes| **comes).count();
        self.changed.fetch_add(u64::try_from(updated).unwrap_or(u64::MAX), Ordering::AcqRel);
        Ok(comes)
    }

    fn merged(&self, places: &Places<'_>, clauses: &PrimitiveArray<Int32Type>, verbs: &[Verb]) -> Result<Vec<bool>> {
        let mut comes = vec![false; clauses.len()];
        for (row, comes) in comes.iter_mut().enumerate() {
            if clauses.is_null(row) {
                continue;
            }
            let verb = usize::try_from(clauses.value(row)).ok().and_then(|clause| verbs.get(clause));
            let verb = verb.ok_or_else(|| Error::internal("a row was found by a clause that is not there"))?;
            if *verb != Verb::Insert && !self.is_new(places, row)? {
                return Err(self.found_twice());
            }
            self.changed.fetch_add(1, Ordering::AcqRel);
            *comes = *verb != Verb::Delete;
        }
        Ok(comes)
    }

    fn is_new(&self, places: &Places<'_>, row: usize) -> Result<bool> {
        let file = self.file(places.files.value(row))?;
        Ok(self.hidden.add(file, [places.positions.value(row)]) == 0)
    }

    fn file(&self, place: u32) -> Result<FileId> {
        let file = usize::try_from(place).ok().and_then(|place| self.files.get(place));
        file.copied().ok_or_else(|| Error::internal("a row was found in a file that is not in the view"))
    }

    fn found_twice(&self) -> Error {
        Error::invalid("two source rows match the same row of the table; nothing was changed")
            .code("merge-duplicate")
            .with("table", &self.table)
            .help("use a source with at most one row for each row of the table, for instance with SELECT DISTINCT ON")
    }
}

/// The two columns of a batch that locate its rows.
struct Places<'a> {
    positions: &'a PrimitiveArray<UInt64Type>,
    files: &'a PrimitiveArray<UInt32Type>,
}

impl<'a> Places<'a> {
    fn of(batch: &'a RecordBatch, first: usize) -> Result<Self> {
        let column = |index| batch.columns().get(index);
        let positions = column(first).and_then(|column| column.as_primitive_opt());
        let files = column(first + 1).and_then(|column| column.as_primitive_opt());
        let missing = || Error::internal("a statement did not say which rows it found");
        Ok(Self { positions: positions.ok_or_else(missing)?, files: files.ok_or_else(missing)? })
    }
}

fn clauses(batch: &RecordBatch, index: usize) -> Result<&PrimitiveArray<Int32Type>> {
    let column = batch.columns().get(index).and_then(|column| column.as_primitive_opt());
    column.ok_or_else(|| Error::internal("a statement did not say by which clause it found rows"))
}
