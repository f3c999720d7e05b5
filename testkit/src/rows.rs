//! Small tables of numbers whose content is known.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use cayenne_format::{InlineOptions, TableOptions};
use cayenne_storage::RowStream;
use futures::StreamExt;

/// Returns the schema of [`numbers`]: `id` (64-bit integer) and `text`.
#[must_use]
pub fn numbers_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, false), Field::new("text", DataType::Utf8, true)]))
}

/// Returns table options under which small writes become data files, too: nothing is stored inline.
#[must_use]
pub fn files_only() -> TableOptions {
    TableOptions { inline: InlineOptions::OFF, ..TableOptions::default() }
}

/// Returns a batch with the numbers of a range, each with a text.
///
/// # Panics
///
/// Never: the columns are made to fit the schema.
#[must_use]
#[expect(clippy::expect_used, reason = "the columns are made to fit the schema")]
pub fn numbers(range: Range<i64>) -> RecordBatch {
    let text = range.clone().map(|number| (number % 7 != 0).then(|| format!("row {number}")));
    let text: StringArray = text.collect();
    let ids = Int64Array::from_iter_values(range);
    RecordBatch::try_new(numbers_schema(), vec![Arc::new(ids), Arc::new(text)]).expect("the columns fit the schema")
}

/// Returns the batches as a stream of rows.
#[must_use]
pub fn stream_of(batches: Vec<RecordBatch>) -> RowStream {
    futures::stream::iter(batches.into_iter().map(Ok)).boxed()
}

/// Returns the number of rows in batches of [`numbers`], and the sum of their ids.
#[must_use]
pub fn sum_of(batches: &[RecordBatch]) -> (usize, i64) {
    let ids = batches.iter().map(|batch| batch.column(0).as_primitive::<Int64Type>());
    ids.fold((0, 0), |(count, sum), ids| (count + ids.values().len(), sum + ids.values().iter().sum::<i64>()))
}
