//! Column stats hold for every value of their file, and are exact if they say so.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float32Type, Float64Type};
use arrow_array::*;
use arrow_buffer::i256;
use arrow_schema::{DataType, TimeUnit};
use cayenne_format::{Bound, ColumnStats, NewDataFile, Value};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::disk::Disk;

fn is_nan(array: &dyn Array, row: usize) -> bool {
    match array.data_type() {
        DataType::Float32 => array.as_primitive::<Float32Type>().value(row).is_nan(),
        DataType::Float64 => array.as_primitive::<Float64Type>().value(row).is_nan(),
        _ => false,
    }
}

/// Compares the stats of a column with all its values.
fn check(array: &dyn Array, stats: &ColumnStats) {
    let values: Vec<Value> = (0..array.len())
        .filter(|row| array.is_valid(*row) && !is_nan(array, *row))
        .filter_map(|row| Value::at(array, row))
        .collect();
    let nans = (0..array.len()).filter(|row| array.is_valid(*row) && is_nan(array, *row)).count() as u64;
    assert_eq!(stats.null_count, Some(array.null_count() as u64));
    assert_eq!(stats.nan_count, Some(nans));
    for (bound, side) in [(&stats.min, Ordering::Less), (&stats.max, Ordering::Greater)] {
        let Some(Bound { value, exact }) = bound else { continue };
        let extreme = values.iter().find(|other| other.compare(value) == Some(side));
        assert!(extreme.is_none(), "{extreme:?} is beyond the bound {value:?}");
        assert!(!exact || values.contains(value), "{value:?} is said to be exact");
        let length = match value {
            Value::Text(text) => text.len(),
            Value::Binary(bytes) => bytes.len(),
            _ => 0,
        };
        assert!(length <= 64, "a bound of {length} bytes");
        check_as_array(array, value, side);
    }
}

/// Pruning compares by total order: a bound has to hold there too.
fn check_as_array(array: &dyn Array, bound: &Value, side: Ordering) {
    let bound = Value::to_array(&[Some(bound.clone())], array.data_type());
    assert!(bound.is_valid(0), "the bound fits its column");
    if array.data_type() == &DataType::Float64 {
        let bound = bound.as_primitive::<Float64Type>().value(0);
        for value in array.as_primitive::<Float64Type>().iter().flatten().filter(|value| !value.is_nan()) {
            assert_ne!(value.total_cmp(&bound), side, "{value} against {bound}");
        }
    }
}

/// Writes the columns in batches of one length and checks the result. Times that Vortex cannot represent may split them
/// into several files.
fn check_columns(columns: Vec<ArrayRef>, batch_rows: usize) {
    let rows = columns[0].len();
    let names = (0..columns.len()).map(|index| format!("c{index}"));
    let batch = RecordBatch::try_from_iter_with_nullable(names.zip(columns).map(|(name, column)| (name, column, true)));
    let batch = batch.unwrap();
    let starts = (0..rows).step_by(batch_rows);
    let batches: Vec<_> = starts.map(|start| batch.slice(start, batch_rows.min(rows - start))).collect();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for files in runtime.block_on(async { Disk::new().await.write_both_ways(&batches).await }) {
        check_files(files, &batch);
    }
}

fn check_files(files: Vec<NewDataFile>, batch: &RecordBatch) {
    let mut start = 0;
    for file in files.into_iter().map(|new| new.file) {
        assert_eq!(file.stats.column_count(), batch.num_columns());
        let rows = usize::try_from(file.rows).unwrap();
        for (index, column) in batch.columns().iter().enumerate() {
            check(&column.slice(start, rows), &file.stats.column(index).unwrap());
        }
        start += rows;
    }
    assert_eq!(start, batch.num_rows());
}

fn float() -> impl Strategy<Value = Option<f64>> {
    prop_oneof![
        Just(None),
        Just(Some(f64::NAN)),
        Just(Some(0.0)),
        Just(Some(-0.0)),
        Just(Some(f64::INFINITY)),
        Just(Some(f64::NEG_INFINITY)),
        any::<f64>().prop_map(Some),
    ]
}

/// Texts whose 64th byte may be in the middle of a character, and which may have no successor.
fn text() -> impl Strategy<Value = Option<String>> {
    let last = "\u{10ffff}";
    prop_oneof![
        Just(None),
        "[a-z]{0,8}".prop_map(Some),
        (55_usize..70, "[aé€🌶\u{10ffff}]{1,6}").prop_map(|(length, tail)| Some("x".repeat(length) + &tail)),
        (15_usize..20).prop_map(move |count| Some(last.repeat(count))),
    ]
}

fn bytes() -> impl Strategy<Value = Option<Vec<u8>>> {
    prop_oneof![
        Just(None),
        vec(any::<u8>(), 0..10).prop_map(Some),
        (60_usize..70).prop_map(|length| Some(vec![0xff; length])),
        (60_usize..70, vec(any::<u8>(), 0..6)).prop_map(|(length, tail)| Some([vec![0xff; length], tail].concat())),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn they_hold_for_random_values(
        floats in vec(float(), 1..60),
        texts in vec(text(), 1..60),
        bytes in vec(bytes(), 1..60),
        numbers in vec(any::<Option<i64>>(), 1..60),
        batch_rows in 1_usize..40,
    ) {
        let rows = floats.len().min(texts.len()).min(bytes.len()).min(numbers.len());
        let borrowed: Vec<Option<&[u8]>> = bytes.iter().map(Option::as_deref).collect();
        let halves: Float32Array = floats.iter().map(|value| value.map(f64_to_f32)).collect();
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Float64Array::from(floats)),
            Arc::new(halves),
            Arc::new(StringArray::from(texts.clone())),
            Arc::new(StringViewArray::from(texts)),
            Arc::new(BinaryArray::from(borrowed)),
            Arc::new(numbers.iter().map(|number| number.map(|number| number % 2 == 0)).collect::<BooleanArray>()),
            Arc::new(Int64Array::from(numbers.clone())),
            Arc::new(numbers.iter().map(|number| number.map(i64::cast_unsigned)).collect::<UInt64Array>()),
            Arc::new(Int64Array::from(numbers).reinterpret_cast::<types::TimestampMicrosecondType>()),
        ];
        check_columns(columns.into_iter().map(|column| column.slice(0, rows)).collect(), batch_rows);
    }
}

fn f64_to_f32(value: f64) -> f32 {
    arrow_cast::cast(&Float64Array::from(vec![value]), &DataType::Float32)
        .unwrap()
        .as_primitive::<Float32Type>()
        .value(0)
}

#[test]
fn they_are_in_the_unit_and_scale_of_their_column() {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Date32Array::from(vec![Some(-5), None, Some(20_000)])),
        Arc::new(Date64Array::from(vec![Some(-86_400_001), None, Some(1_700_000_000_123)])),
        Arc::new(Time32SecondArray::from(vec![Some(1), None, Some(86_399)])),
        Arc::new(Time64NanosecondArray::from(vec![Some(1), None, Some(86_399_999_999_999)])),
        Arc::new(TimestampNanosecondArray::from(vec![Some(i64::MIN), None, Some(i64::MAX)]).with_timezone("+05:30")),
        Arc::new(TimestampSecondArray::from(vec![Some(-1), None, Some(i64::MAX)])),
        Arc::new(Decimal32Array::from(vec![Some(-123), None, Some(999)]).with_precision_and_scale(5, 2).unwrap()),
        Arc::new(Decimal64Array::from(vec![Some(-123), None, Some(999)]).with_precision_and_scale(15, 4).unwrap()),
        Arc::new(Decimal128Array::from(vec![Some(-123), None, Some(999)]).with_precision_and_scale(38, -3).unwrap()),
        Arc::new(
            Decimal256Array::from(vec![Some(i256::from(-7)), None, Some(i256::from_i128(i128::MAX))])
                .with_precision_and_scale(76, 10)
                .unwrap(),
        ),
    ];
    for column in &columns {
        assert!(Value::has_order(column.data_type()));
    }
    check_columns(columns, 2);
    let date = stats_of(Arc::new(Date64Array::from(vec![1_700_000_000_123, 5])));
    assert_eq!(date.max, Some(Bound { value: Value::Int(1_700_000_000_123), exact: true }));
    let decimal = Decimal128Array::from(vec![12_345, -1]).with_precision_and_scale(10, 2).unwrap();
    let decimal = stats_of(Arc::new(decimal));
    assert_eq!(decimal.max, Some(Bound { value: Value::Decimal(i256::from(12_345)), exact: true }));
}

fn stats_of(array: ArrayRef) -> ColumnStats {
    let batch = RecordBatch::try_from_iter_with_nullable([("c", array, true)]).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let [files, inline] = Disk::new().await.write_both_ways(&[batch]).await;
        let stats = files[0].file.stats.column(0).unwrap();
        assert_eq!(inline[0].file.stats.column(0).unwrap(), stats, "inline files know the same");
        stats
    })
}

#[test]
fn a_bound_of_zero_holds_for_both_zeros() {
    for values in [vec![0.0], vec![-0.0], vec![0.0, -0.0]] {
        let stats = stats_of(Arc::new(Float64Array::from(values)));
        let Some(Bound { value: Value::Float(min), .. }) = stats.min else { panic!("{stats:?}") };
        let Some(Bound { value: Value::Float(max), .. }) = stats.max else { panic!("{stats:?}") };
        assert!(min.is_sign_negative() && max.is_sign_positive(), "{min} to {max}");
    }
}

#[test]
fn nothing_but_nulls_or_nan_has_no_bounds() {
    let stats = stats_of(Arc::new(Float64Array::from(vec![Some(f64::NAN), None])));
    assert_eq!(stats, ColumnStats { min: None, max: None, null_count: Some(1), nan_count: Some(1) });
    let stats = stats_of(Arc::new(StringArray::new_null(3)));
    assert_eq!(stats, ColumnStats { min: None, max: None, null_count: Some(3), nan_count: Some(0) });
    let stats = stats_of(Arc::new(NullArray::new(3)));
    assert_eq!(stats, ColumnStats { min: None, max: None, null_count: Some(3), nan_count: Some(0) });
}

#[test]
fn nested_columns_count_their_nulls_only() {
    let list = ListArray::from_iter_primitive::<types::Int32Type, _, _>([Some(vec![Some(1), None]), None]);
    let stats = stats_of(Arc::new(list));
    assert_eq!(stats, ColumnStats { min: None, max: None, null_count: Some(1), nan_count: Some(0) });
}

#[test]
fn short_text_is_exact_and_long_text_is_cut_to_the_safe_side() {
    let long = "m".repeat(100);
    let stats = stats_of(Arc::new(StringArray::from(vec!["b", &long, "x"])));
    assert_eq!(stats.min, Some(Bound { value: Value::Text("b".into()), exact: true }));
    assert_eq!(stats.max, Some(Bound { value: Value::Text("x".into()), exact: true }));
    let stats = stats_of(Arc::new(StringArray::from(vec![long.as_str()])));
    assert_eq!(stats.min, Some(Bound { value: Value::Text("m".repeat(64)), exact: false }));
    assert_eq!(stats.max, Some(Bound { value: Value::Text("m".repeat(63) + "n"), exact: false }));
    let stats = stats_of(Arc::new(BinaryArray::from(vec![[0xff; 100].as_slice()])));
    assert_eq!(stats.max, None, "nothing is above");
    assert!(stats.min.is_some());
}

#[test]
fn every_type_with_an_order_has_bounds() {
    for unit in [TimeUnit::Second, TimeUnit::Millisecond, TimeUnit::Microsecond, TimeUnit::Nanosecond] {
        let times = arrow_cast::cast(&Int64Array::from(vec![5, 3]), &DataType::Timestamp(unit, Some("UTC".into())));
        let stats = stats_of(times.unwrap());
        assert_eq!(stats.min, Some(Bound { value: Value::Int(3), exact: true }));
    }
}
