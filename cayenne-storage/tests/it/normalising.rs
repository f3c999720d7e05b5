//! Rows in other forms than the stored ones are converted to them, or refused with the name of the column.

use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{
    Array, ArrayRef, DictionaryArray, DurationSecondArray, FixedSizeBinaryArray, Float16Array, Float32Array,
    Int32Array, Int64Array, LargeStringArray, ListArray, NullArray, RecordBatch, StringArray, StringViewArray,
    new_null_array,
};
use arrow_schema::{DataType, Field, IntervalUnit, Schema, SchemaRef};
use cayenne_format::{ErrorKind, Result, UnsupportedTypeAction, stored_schema};
use cayenne_storage::normalise;
use half::f16;

use crate::disk::{Disk, request, rows, whole};

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true))).unwrap()
}

fn normal(batch: &RecordBatch, stored: &SchemaRef, action: UnsupportedTypeAction) -> Result<RecordBatch> {
    let declared = batch.schema();
    normalise(batch.clone(), &declared, stored, action)
}

fn schema(fields: Vec<Field>) -> SchemaRef {
    Arc::new(Schema::new(fields))
}

#[test]
fn short_floats_and_dictionaries_become_what_is_stored() {
    let words: DictionaryArray<Int32Type> = ["a", "b", "a"].into_iter().collect();
    let halves = Float16Array::from(vec![f16::from_f32(1.5), f16::NAN, f16::INFINITY]);
    let nested = ListArray::from_nested_iter::<arrow_array::builder::StringDictionaryBuilder<Int32Type>, _, _, _>([
        Some(vec![Some("x")]),
        None,
        Some(vec![]),
    ]);
    let rows = batch(vec![("words", Arc::new(words)), ("halves", Arc::new(halves)), ("nested", Arc::new(nested))]);
    let stored = stored_schema(&rows.schema(), UnsupportedTypeAction::Error).unwrap();
    let normal = normal(&rows, &stored, UnsupportedTypeAction::Error).unwrap();
    assert_eq!(normal.column(0).as_ref(), &StringArray::from(vec!["a", "b", "a"]) as &dyn Array);
    assert_eq!(normal.column(1).as_ref().slice(0, 1).as_ref(), &Float32Array::from(vec![1.5]) as &dyn Array);
    assert_eq!(normal.schema(), stored);
}

#[test]
fn the_forms_of_text_and_the_names_inside_lists_do_not_matter() {
    let item = Field::new("item", DataType::Utf8View, true);
    let list = schema(vec![Field::new("t", DataType::List(Arc::new(item)), true)]);
    let texts =
        ListArray::from_nested_iter::<arrow_array::builder::LargeStringBuilder, _, _, _>([Some(vec![Some("x")])]);
    let rows = batch(vec![("other name", Arc::new(texts))]);
    assert_eq!(normal(&rows, &list, UnsupportedTypeAction::Error).unwrap().schema(), list);
    let text = schema(vec![Field::new("t", DataType::Utf8, true)]);
    let forms: [ArrayRef; 3] = [
        Arc::new(LargeStringArray::from(vec!["x"])),
        Arc::new(StringViewArray::from(vec!["x"])),
        Arc::new(NullArray::new(1)),
    ];
    for form in forms {
        let rows = batch(vec![("t", form)]);
        assert_eq!(normal(&rows, &text, UnsupportedTypeAction::Error).unwrap().schema(), text);
    }
}

#[test]
fn other_types_nulls_and_numbers_of_columns_are_refused_by_name() {
    let stored = schema(vec![Field::new("a", DataType::Int32, false), Field::new("b", DataType::Utf8, true)]);
    let text: ArrayRef = Arc::new(StringArray::from(vec!["x"]));
    let wrong = batch(vec![("a", Arc::new(Int64Array::from(vec![1]))), ("b", Arc::clone(&text))]);
    let error = normal(&wrong, &stored, UnsupportedTypeAction::Error).unwrap_err();
    assert_eq!((error.kind(), error.stable_code()), (ErrorKind::Invalid, "wrong-type"));
    assert!(error.to_string().contains("column: a, expected: Int32, found: Int64"), "{error}");
    let null = batch(vec![("a", Arc::new(Int32Array::from(vec![None]))), ("b", Arc::clone(&text))]);
    let error = normal(&null, &stored, UnsupportedTypeAction::Error).unwrap_err();
    assert_eq!((error.kind(), error.stable_code()), (ErrorKind::Invalid, "null-in-column"));
    assert!(error.to_string().contains("column: a"), "{error}");
    let short = batch(vec![("b", text)]);
    let error = normal(&short, &stored, UnsupportedTypeAction::Error).unwrap_err();
    assert_eq!((error.kind(), error.stable_code()), (ErrorKind::Invalid, "wrong-columns"));
}

fn with_unsupported() -> RecordBatch {
    batch(vec![
        ("number", Arc::new(Int32Array::from(vec![1, 2]))),
        ("span", Arc::new(DurationSecondArray::from(vec![Some(90), None]))),
        ("bytes", Arc::new(FixedSizeBinaryArray::try_from_iter([[1_u8, 255], [0, 16]].into_iter()).unwrap())),
    ])
}

#[test]
fn ignored_columns_are_dropped() {
    let rows = with_unsupported();
    let stored = stored_schema(&rows.schema(), UnsupportedTypeAction::Ignore).unwrap();
    let normal = normal(&rows, &stored, UnsupportedTypeAction::Ignore).unwrap();
    assert_eq!(normal.num_columns(), 1);
    assert_eq!(normal.num_rows(), 2);
}

#[test]
fn columns_become_text_where_the_table_says_so() {
    let rows = with_unsupported();
    let stored = stored_schema(&rows.schema(), UnsupportedTypeAction::String).unwrap();
    let normal = normal(&rows, &stored, UnsupportedTypeAction::String).unwrap();
    assert_eq!(normal.column(1).as_ref(), &StringArray::from(vec![Some("PT90S"), None]) as &dyn Array);
    assert_eq!(normal.column(2).as_ref(), &StringArray::from(vec!["01ff", "0010"]) as &dyn Array);
    // Rows that are text already, as SQL passes them, are accepted unchanged.
    let again = super::normalising::normal(&normal, &stored, UnsupportedTypeAction::String).unwrap();
    assert_eq!(again, normal);
    let error = super::normalising::normal(&rows, &stored, UnsupportedTypeAction::Error).unwrap_err();
    assert_eq!(error.stable_code(), "wrong-type");
}

#[tokio::test]
async fn a_column_kept_by_warn_takes_nulls_only_and_comes_back() {
    let interval = DataType::Interval(IntervalUnit::MonthDayNano);
    let fields = vec![Field::new("number", DataType::Int32, false), Field::new("i", interval.clone(), true)];
    let stored = stored_schema(&Schema::new(fields), UnsupportedTypeAction::Warn).unwrap();
    let numbers: ArrayRef = Arc::new(Int32Array::from(vec![1, 2]));
    let nulls = RecordBatch::try_new(Arc::clone(&stored), vec![Arc::clone(&numbers), new_null_array(&interval, 2)]);
    let nulls = nulls.unwrap();
    let disk = Disk::new().await;
    let files = disk.storage.write(request(Arc::clone(&stored), vec![rows(vec![nulls.clone()])])).await.unwrap();
    assert_eq!(whole(&disk.read(&files[0], Arc::clone(&stored)).await.unwrap()), nulls);
    let stats = files[0].file.stats.column(1).unwrap();
    assert_eq!((stats.null_count, stats.min), (Some(2), None));

    let values =
        arrow_array::IntervalMonthDayNanoArray::from(vec![arrow_array::types::IntervalMonthDayNano::new(1, 0, 0); 2]);
    let with_value = RecordBatch::try_new(Arc::clone(&stored), vec![numbers, Arc::new(values)]).unwrap();
    let error = disk.storage.write(request(stored, vec![rows(vec![with_value])])).await.unwrap_err();
    assert_eq!((error.kind(), error.stable_code()), (ErrorKind::Invalid, "unsupported-type"));
    assert!(error.to_string().contains("column: i"), "{error}");
}
