//! Keys: which columns can be one, and that their order and equality are those of SQL.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow_array::types::{Int8Type, Int32Type};
use arrow_array::{
    Array, ArrayRef, BinaryArray, BinaryViewArray, BooleanArray, Date32Array, Decimal128Array, Decimal256Array,
    DictionaryArray, FixedSizeBinaryArray, Float32Array, Float64Array, Int8Array, Int16Array, Int32Array, Int64Array,
    LargeBinaryArray, LargeStringArray, RecordBatch, StringArray, StringViewArray, TimestampMicrosecondArray,
    UInt64Array,
};
use arrow_buffer::i256;
use arrow_schema::{DataType, Field, IntervalUnit, Schema, TimeUnit};
use cayenne_deletes::{KeyCodec, KeyForm, Keys, SortedKeys};
use cayenne_format::{ErrorKind, Value};
use proptest::prelude::*;
use proptest::sample::select;

const ROWS: usize = 8;

fn schema_of(columns: &[ArrayRef]) -> Schema {
    let field = |(index, column): (usize, &ArrayRef)| Field::new(format!("c{index}"), column.data_type().clone(), true);
    Schema::new(columns.iter().enumerate().map(field).collect::<Vec<_>>())
}

fn codec_of(columns: &[ArrayRef]) -> KeyCodec {
    let schema = schema_of(columns);
    let names: Vec<_> = schema.fields().iter().map(|field| field.name().clone()).collect();
    KeyCodec::new(&schema, &names).unwrap().with_seed(7)
}

fn column<T: Clone + std::fmt::Debug + 'static>(
    value: impl Strategy<Value = T> + 'static,
    array: fn(Vec<T>) -> ArrayRef,
) -> BoxedStrategy<ArrayRef> {
    prop::collection::vec(value, ROWS).prop_map(array).boxed()
}

/// Few distinct values, so that rows are often equal in one column and decided by the next.
fn text() -> impl Strategy<Value = String> {
    prop::collection::vec(select(vec!['\0', '\u{1}', 'a', 'ÿ']), 0..4).prop_map(String::from_iter)
}

fn binary() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(select(vec![0, 1, 0xfe, 0xff]), 0..4)
}

fn double() -> impl Strategy<Value = f64> {
    let special = vec![0.0, -0.0, f64::NAN, -f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MIN_POSITIVE, -1.5];
    prop_oneof![select(special), any::<f64>()]
}

fn some_column() -> impl Strategy<Value = ArrayRef> {
    prop_oneof![
        column(any::<bool>(), |values| Arc::new(BooleanArray::from(values))),
        column(any::<i8>(), |values| Arc::new(Int8Array::from(values))),
        column(-2_i64..2, |values| Arc::new(Int64Array::from(values))),
        column(any::<i64>(), |values| Arc::new(TimestampMicrosecondArray::from(values).with_timezone("UTC"))),
        column(any::<u64>(), |values| Arc::new(UInt64Array::from(values))),
        column(any::<i32>(), |values| Arc::new(Date32Array::from(values))),
        column(double(), |values| Arc::new(Float64Array::from(values))),
        column(double(), |values| {
            #[expect(clippy::cast_possible_truncation, reason = "any float will do")]
            Arc::new(Float32Array::from_iter_values(values.into_iter().map(|value| value as f32)))
        }),
        column(any::<i128>(), |values| Arc::new(Decimal128Array::from(values))),
        column(any::<i128>(), |values| {
            Arc::new(Decimal256Array::from_iter_values(values.into_iter().map(i256::from_i128)))
        }),
        column(text(), |values| Arc::new(StringArray::from(values))),
        column(text(), |values| Arc::new(LargeStringArray::from(values))),
        column(text(), |values| Arc::new(StringViewArray::from_iter_values(values))),
        column(binary(), |values| Arc::new(BinaryArray::from_iter_values(values))),
        column(binary(), |values| Arc::new(LargeBinaryArray::from_iter_values(values))),
        column(binary(), |values| Arc::new(BinaryViewArray::from_iter_values(values))),
    ]
}

fn compared(columns: &[ArrayRef], left: usize, right: usize) -> Ordering {
    let value = |column: &ArrayRef, row| Value::at(column, row).unwrap();
    let orders = columns.iter().map(|column| value(column, left).compare(&value(column, right)).unwrap());
    orders.fold(Ordering::Equal, Ordering::then)
}

proptest! {
    #[test]
    fn keys_have_the_order_and_equality_of_their_rows(columns in prop::collection::vec(some_column(), 1..4)) {
        let codec = codec_of(&columns);
        let bytes = codec.encode_rows(&columns).unwrap();
        let keys = codec.keys_of(&columns).unwrap();
        prop_assert_eq!(keys.len(), ROWS);
        for left in 0..ROWS {
            for right in 0..ROWS {
                let expected = compared(&columns, left, right);
                prop_assert_eq!(bytes.get(left).cmp(&bytes.get(right)), expected);
                let found = keys.get(left).cmp(&keys.get(right));
                if codec.form() == KeyForm::Hashed {
                    prop_assert_eq!(found.is_eq(), expected.is_eq());
                } else {
                    prop_assert_eq!(found, expected);
                }
            }
        }
    }

    #[test]
    fn short_keys_are_their_own_bytes(columns in prop::collection::vec(some_column(), 1..3)) {
        let codec = codec_of(&columns);
        if codec.form() == KeyForm::Hashed {
            return Ok(());
        }
        let bytes = codec.encode_rows(&columns).unwrap();
        let keys = codec.keys_of(&columns).unwrap();
        for (row, bytes) in bytes.iter().enumerate() {
            let number = bytes.iter().fold(0, |number, byte| number << 8 | u128::from(*byte));
            prop_assert_eq!(keys.get(row), Some(number));
        }
    }

    #[test]
    fn the_same_text_is_one_key_in_every_type(values in prop::collection::vec(text(), 1..9)) {
        let plain: ArrayRef = Arc::new(StringArray::from(values.clone()));
        let codec = codec_of(&[Arc::clone(&plain)]);
        let expected = codec.keys_of(&[plain]).unwrap();
        let others: Vec<ArrayRef> = vec![
            Arc::new(LargeStringArray::from(values.clone())),
            Arc::new(StringViewArray::from_iter_values(values.clone())),
            Arc::new(values.iter().map(String::as_str).collect::<DictionaryArray<Int8Type>>()),
        ];
        for other in others {
            prop_assert_eq!(&codec.keys_of(&[Arc::clone(&other)]).unwrap(), &expected);
            prop_assert_eq!(&codec_of(&[Arc::clone(&other)]).keys_of(&[other]).unwrap(), &expected);
        }
    }

    #[test]
    fn sorted_keys_remember_their_rows(keys in prop::collection::vec(0_u64..20, 0..50)) {
        let sorted = SortedKeys::new(Keys::Narrow(keys.clone()));
        let mut expected: Vec<_> = keys.iter().copied().zip(0..).collect();
        expected.sort_unstable();
        let found: Vec<_> = (0..sorted.len())
            .map(|place| (u64::try_from(sorted.keys().get(place).unwrap()).unwrap(), sorted.row(place).unwrap()))
            .collect();
        prop_assert_eq!(found, expected);
        prop_assert_eq!(sorted.row(keys.len()), None);
    }
}

#[test]
fn forms_follow_the_room_that_a_key_takes() {
    let small: ArrayRef = Arc::new(Int16Array::from(vec![1]));
    let wide: ArrayRef = Arc::new(Decimal128Array::from(vec![1]));
    let uuid: ArrayRef = Arc::new(FixedSizeBinaryArray::try_from_iter([[7_u8; 16]].into_iter()).unwrap());
    let text: ArrayRef = Arc::new(StringArray::from(vec!["x"]));
    let form =
        |columns: &[&ArrayRef]| codec_of(&columns.iter().map(|array| Arc::clone(array)).collect::<Vec<_>>()).form();
    assert_eq!(form(&[&small]), KeyForm::Integer);
    assert_eq!(form(&[&small, &small]), KeyForm::Exact);
    assert_eq!(form(&[&wide]), KeyForm::Exact);
    assert_eq!(form(&[&uuid]), KeyForm::Exact);
    assert_eq!(form(&[&wide, &small]), KeyForm::Hashed);
    assert_eq!(form(&[&text]), KeyForm::Hashed);
}

#[test]
fn a_uuid_is_its_own_key() {
    let uuid: ArrayRef =
        Arc::new(FixedSizeBinaryArray::try_from_iter([[0x11_u8; 16], [0xff; 16]].into_iter()).unwrap());
    let keys = codec_of(&[Arc::clone(&uuid)]).keys_of(&[uuid]).unwrap();
    assert_eq!(keys, Keys::Wide(vec![u128::from_be_bytes([0x11; 16]), u128::MAX]));
}

#[test]
fn hashes_depend_on_the_seed() {
    let text: ArrayRef = Arc::new(StringArray::from(vec!["x"]));
    let codec = codec_of(&[Arc::clone(&text)]);
    assert_ne!(codec.keys_of(&[Arc::clone(&text)]).unwrap(), codec.clone().with_seed(8).keys_of(&[text]).unwrap());
}

#[test]
fn columns_that_cannot_be_a_key_are_refused() {
    let schema = Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("list", DataType::new_list(DataType::Int64, true), true),
        Field::new("nothing", DataType::Null, true),
        Field::new("span", DataType::Interval(IntervalUnit::DayTime), true),
        Field::new("length", DataType::Duration(TimeUnit::Second), true),
        Field::new("half", DataType::Float16, true),
        Field::new("time", DataType::Time32(TimeUnit::Nanosecond), true),
        Field::new("odd", DataType::FixedSizeBinary(-1), true),
    ]);
    let none: [&str; 0] = [];
    let wrong: [&[&str]; 9] =
        [&none, &["absent"], &["id", "id"], &["list"], &["nothing"], &["span"], &["length"], &["half"], &["time"]];
    for columns in wrong {
        let error = KeyCodec::new(&schema, columns).unwrap_err();
        assert_eq!((error.kind(), error.stable_code()), (ErrorKind::Invalid, "invalid-primary-key"), "{columns:?}");
    }
    assert!(KeyCodec::new(&schema, &["odd"]).is_err());
}

#[test]
fn a_null_is_refused_and_its_column_named() {
    let batch = RecordBatch::try_from_iter(vec![
        ("id", Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef),
        ("name", Arc::new(StringArray::from(vec![Some("x"), None]))),
    ])
    .unwrap();
    let codec = KeyCodec::new(&batch.schema(), &["id", "name"]).unwrap();
    let error = codec.keys(&batch).unwrap_err();
    assert_eq!(error.stable_code(), "null-key");
    assert_eq!(error.to_string(), "NULL in primary key column (column: name)");
    assert_eq!(codec.keys(&batch.slice(0, 1)).unwrap().len(), 1);
}

#[test]
fn a_null_behind_a_dictionary_is_refused() {
    let values = Arc::new(StringArray::from(vec![Some("x"), None]));
    let names: ArrayRef = Arc::new(DictionaryArray::<Int32Type>::new(Int32Array::from(vec![0, 1]), values));
    let codec = codec_of(&[Arc::clone(&names)]);
    assert_eq!(codec.keys_of(&[Arc::clone(&names)]).unwrap_err().stable_code(), "null-key");
    assert_eq!(codec.keys_of(&[names.slice(0, 1)]).unwrap().len(), 1);
}

#[test]
fn columns_of_another_type_are_refused_and_not_misread() {
    let small: ArrayRef = Arc::new(Int32Array::from(vec![1]));
    let large: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let codec = codec_of(&[Arc::clone(&small)]);
    assert_eq!(codec.keys_of(&[Arc::clone(&large)]).unwrap_err().kind(), ErrorKind::Internal);
    assert_eq!(codec.keys_of(&[small, large]).unwrap_err().kind(), ErrorKind::Internal);
    assert_eq!(codec.keys_of(&[]).unwrap_err().kind(), ErrorKind::Internal);
}

#[test]
fn a_key_is_described_in_bounded_words() {
    let batch = RecordBatch::try_from_iter(vec![
        ("other", Arc::new(Int64Array::from(vec![0, 0])) as ArrayRef),
        ("name", Arc::new(StringArray::from(vec!["x".to_owned(), "y".repeat(1000)]))),
        ("id", Arc::new(Int64Array::from(vec![7, 8]))),
    ])
    .unwrap();
    let codec = KeyCodec::new(&batch.schema(), &["id", "name"]).unwrap();
    assert_eq!(codec.columns(), [2, 1]);
    assert_eq!(codec.describe(&batch, 0), "id = 7, name = 'x'");
    assert!(codec.describe(&batch, 1).len() < 100);
    assert_eq!(codec.describe(&batch, 2), "id = ?, name = ?");
}

proptest! {
    #[test]
    fn distinct_keys_are_a_set_in_order(numbers in prop::collection::vec(prop_oneof![0_u64..50, any::<u64>()], 0..200)) {
        let set: std::collections::BTreeSet<u64> = numbers.iter().copied().collect();
        let wide = |numbers: &[u64]| Keys::Wide(numbers.iter().map(|number| u128::from(*number) << 60).collect());
        let expected: Vec<u64> = set.into_iter().collect();
        prop_assert_eq!(SortedKeys::distinct(wide(&numbers)).keys().clone(), wide(&expected));
        prop_assert_eq!(SortedKeys::distinct(Keys::Narrow(numbers)).keys().clone(), Keys::Narrow(expected));
    }
}
