//! Evaluates a filter once for each run of equal rows.

use arrow_array::{BooleanArray, RecordBatch};
use datafusion::arrow::array::BooleanBufferBuilder;
use datafusion::arrow::buffer::{BooleanBuffer, MutableBuffer};
use datafusion::arrow::compute::filter_record_batch;
use datafusion::arrow::compute::kernels::cmp::distinct;
use datafusion::arrow::util::bit_util;
use datafusion::error::Result;

/// Minimum average number of rows in a run for which runs are used.
const RUN_ROWS: usize = 2;

/// Calls `ask` with the first row of each run of equal rows, or with all rows if runs are short.
pub(super) fn once_per_run(
    batch: &RecordBatch,
    ask: impl Fn(&RecordBatch) -> Result<BooleanArray>,
) -> Result<BooleanArray> {
    let Some(first) = firsts(batch)? else {
        return ask(batch);
    };
    let begins: Vec<usize> = first.set_indices().collect();
    let answers = ask(&filter_record_batch(batch, &BooleanArray::new(first, None))?)?;
    let mut passing = MutableBuffer::from_len_zeroed(batch.num_rows().div_ceil(8));
    for run in answers.values().set_indices() {
        let end = begins.get(run + 1).copied().unwrap_or(batch.num_rows());
        for row in begins.get(run).copied().unwrap_or(end)..end {
            bit_util::set_bit(&mut passing, row);
        }
    }
    Ok(BooleanArray::new(BooleanBuffer::new(passing.into(), 0, batch.num_rows()), None))
}

/// Marks the rows that differ from the row before them; `None` if there are too many.
fn firsts(batch: &RecordBatch) -> Result<Option<BooleanBuffer>> {
    let rows = batch.num_rows();
    let Some(rest) = rows.checked_sub(1).filter(|rest| *rest > 0) else { return Ok(None) };
    let mut differs: Option<BooleanBuffer> = None;
    for column in batch.columns() {
        // There is no comparison kernel for nested columns.
        if column.data_type().is_nested() {
            return Ok(None);
        }
        let changes = distinct(&column.slice(1, rest), &column.slice(0, rest))?;
        differs = Some(match differs {
            Some(differs) => &differs | changes.values(),
            None => changes.values().clone(),
        });
    }
    let differs = differs.filter(|differs| (differs.count_set_bits() + 1) * RUN_ROWS <= rows);
    Ok(differs.map(|differs| {
        let mut first = BooleanBufferBuilder::new(rows);
        first.append(true);
        first.append_buffer(&differs);
        first.finish()
    }))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::sync::Arc;

    use super::*;
    use arrow_array::cast::AsArray as _;
    use arrow_array::types::Int64Type;
    use arrow_array::{Array as _, ArrayRef, Int64Array, StringArray};

    fn batch(numbers: Vec<Option<i64>>) -> RecordBatch {
        let text = numbers.iter().map(|number| number.map(|number| format!("{}", number / 10)));
        let text: ArrayRef = Arc::new(text.collect::<StringArray>());
        RecordBatch::try_from_iter([("a", Arc::new(Int64Array::from(numbers)) as ArrayRef), ("b", text)]).unwrap()
    }

    /// Returns whether the number of each row is odd, and counts the rows.
    fn ask(rows: &RecordBatch, asked: &Cell<usize>) -> BooleanArray {
        asked.set(asked.get() + rows.num_rows());
        let numbers = rows.column(0).as_primitive::<Int64Type>();
        let is_odd = |row| numbers.is_valid(row) && numbers.value(row) % 2 == 1;
        BooleanArray::new(BooleanBuffer::collect_bool(rows.num_rows(), is_odd), None)
    }

    #[test]
    fn each_row_gets_the_answer_of_its_run() {
        let runs = [Some(1), None, Some(2), Some(3), Some(3), None, Some(13)];
        let numbers = (0..700).map(|row| runs[row / 100]).collect();
        let (all, few) = (Cell::new(0), Cell::new(0));
        let rows = batch(numbers);
        let expected = ask(&rows, &all);
        assert_eq!(once_per_run(&rows, |rows| Ok(ask(rows, &few))).unwrap(), expected);
        assert_eq!((all.get(), few.get()), (700, 6), "two neighbours are one run");
    }

    #[test]
    fn short_runs_and_few_rows_are_asked_about_as_they_are() {
        for numbers in [vec![], vec![Some(1)], vec![Some(1), Some(2), Some(2)], (0..100).map(Some).collect()] {
            let asked = Cell::new(0);
            let rows = batch(numbers);
            once_per_run(&rows, |rows| Ok(ask(rows, &asked))).unwrap();
            assert_eq!(asked.get(), rows.num_rows());
        }
    }
}
