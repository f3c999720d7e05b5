//! Schemas: what is stored as what, and what comes back.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Fields, IntervalUnit, Schema, TimeUnit, UnionFields, UnionMode};
use cayenne_format::{
    ErrorKind, TypeRule, UnsupportedTypeAction, decode_schema, encode_schema, stored_schema, type_rule,
};

fn field(data_type: DataType) -> Field {
    Field::new("c", data_type, true)
}

fn list_of(data_type: DataType) -> DataType {
    DataType::List(Arc::new(field(data_type)))
}

fn unsupported() -> Vec<DataType> {
    let union = UnionFields::try_new(vec![0], vec![field(DataType::Int8)]).unwrap();
    vec![
        DataType::Interval(IntervalUnit::MonthDayNano),
        DataType::Duration(TimeUnit::Second),
        DataType::FixedSizeBinary(3),
        DataType::Union(union, UnionMode::Sparse),
        DataType::RunEndEncoded(Arc::new(Field::new("e", DataType::Int32, false)), Arc::new(field(DataType::Int8))),
        list_of(DataType::Duration(TimeUnit::Second)),
        DataType::Struct(Fields::from(vec![
            field(DataType::Int8),
            Field::new("d", DataType::FixedSizeBinary(1), true),
        ])),
    ]
}

#[test]
fn types_that_round_trip_are_kept() {
    let map = DataType::Map(
        Arc::new(Field::new(
            "entries",
            DataType::Struct(Fields::from(vec![Field::new("k", DataType::Utf8, false), field(DataType::Int8)])),
            false,
        )),
        false,
    );
    for data_type in [
        DataType::Null,
        DataType::UInt64,
        DataType::Decimal32(9, -2),
        DataType::Decimal256(76, 10),
        DataType::LargeUtf8,
        DataType::BinaryView,
        DataType::Date64,
        DataType::Time64(TimeUnit::Nanosecond),
        DataType::Timestamp(TimeUnit::Nanosecond, Some("+05:30".into())),
        list_of(list_of(DataType::Int8)),
        map,
    ] {
        assert_eq!(type_rule(&data_type), TypeRule::Kept, "{data_type}");
    }
}

#[test]
fn a_few_types_are_stored_as_others_also_inside_nested_ones() {
    let dictionary = DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8));
    assert_eq!(type_rule(&DataType::Float16), TypeRule::Stored(DataType::Float32));
    assert_eq!(type_rule(&dictionary), TypeRule::Stored(DataType::Utf8));
    assert_eq!(type_rule(&list_of(DataType::Float16)), TypeRule::Stored(list_of(DataType::Float32)));
}

#[test]
fn each_action_does_what_it_says_with_each_unsupported_type() {
    for data_type in unsupported() {
        let schema = Schema::new(vec![Field::new("a", DataType::Int8, false), field(data_type.clone())]);
        let stored = |action| stored_schema(&schema, action);
        let error = stored(UnsupportedTypeAction::Error).unwrap_err();
        assert_eq!((error.kind(), error.stable_code()), (ErrorKind::Unsupported, "unsupported-type"), "{data_type}");
        assert_eq!(stored(UnsupportedTypeAction::String).unwrap().field(1).data_type(), &DataType::Utf8);
        assert_eq!(stored(UnsupportedTypeAction::Warn).unwrap().field(1).data_type(), &data_type);
        assert_eq!(stored(UnsupportedTypeAction::Ignore).unwrap().fields().len(), 1);
    }
}

#[test]
fn a_schema_that_cannot_be_a_table_is_refused() {
    let twice = Schema::new(vec![field(DataType::Int8), field(DataType::Int8)]);
    assert_eq!(stored_schema(&twice, UnsupportedTypeAction::Error).unwrap_err().kind(), ErrorKind::Invalid);
    let none = Schema::empty();
    assert_eq!(stored_schema(&none, UnsupportedTypeAction::Error).unwrap_err().kind(), ErrorKind::Invalid);
}

#[test]
fn a_schema_comes_back_exactly_as_declared() {
    let metadata = [("k".to_owned(), "v; \"quoted\"\n".to_owned())].into();
    let fields: Vec<Field> = unsupported()
        .into_iter()
        .chain([DataType::Dictionary(Box::new(DataType::Int16), Box::new(DataType::Utf8)), DataType::Float16])
        .enumerate()
        .map(|(index, data_type)| Field::new(format!("c;--{index}'"), data_type, index % 2 == 0))
        .collect();
    let schema = Schema::new_with_metadata(fields, metadata);
    assert_eq!(*decode_schema(&encode_schema(&schema)).unwrap(), schema);
    let mut damaged = encode_schema(&schema).to_vec();
    damaged[40] ^= 1;
    assert_eq!(decode_schema(&damaged.into()).unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn two_thousand_columns_are_a_schema_like_any_other() {
    let schema =
        Schema::new((0..2_000).map(|index| Field::new(format!("c{index}"), DataType::Int8, true)).collect::<Vec<_>>());
    let stored = stored_schema(&schema, UnsupportedTypeAction::Error).unwrap();
    assert_eq!(*decode_schema(&encode_schema(&stored)).unwrap(), schema);
}
