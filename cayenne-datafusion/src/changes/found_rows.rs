//! The rows that a statement has found: which of them go, and what comes in their place.

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

/// Takes the batches of a statement apart; shared by its streams.
#[derive(Clone)]
pub(crate) struct FoundRows {
    table: TableName,
    change: Change,
    /// How many columns the table has.
    columns: usize,
    /// The data files of the view, at their places.
    files: Arc<[FileId]>,
    hidden: SeenRows,
    changed: Arc<AtomicU64>,
}

impl FoundRows {
    pub(crate) fn new(table: &TableName, change: Change, columns: usize, files: Arc<[FileId]>) -> Self {
        let (hidden, changed) = (SeenRows::default(), Arc::default());
        Self { table: table.clone(), change, columns, files, hidden, changed }
    }

    /// Returns what becomes of them.
    pub(crate) fn change(&self) -> &Change {
        &self.change
    }

    /// Returns the rows that go, as far as they have been found.
    pub(crate) fn hidden(&self) -> &SeenRows {
        &self.hidden
    }

    /// Returns how many rows have been found for which something is to be done.
    pub(crate) fn changed(&self) -> u64 {
        self.changed.load(Ordering::Acquire)
    }

    /// Notes which rows go, and returns those that come.
    pub(crate) fn take(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let comes = match &self.change {
            // Where the rows are is found out once the keys are there.
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

    /// Notes that the rows with these keys go.
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
            // Rows come file by file: each run of them is one visit.
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

    /// A row that was found twice is updated once.
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

/// Where rows are: the columns that say so.
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
