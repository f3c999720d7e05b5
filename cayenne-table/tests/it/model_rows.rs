//! The rows of the model: a key is one number in the model, and columns of any type in the table.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::UInt32Type;
use arrow_array::{
    ArrayRef, BinaryArray, Decimal128Array, Float64Array, Int16Array, Int64Array, RecordBatch, StringArray,
    StringViewArray, TimestampMicrosecondArray, UInt32Array,
};
use arrow_schema::{Field, Schema, SchemaRef};
use proptest::prelude::*;

/// The kind of key that a table has: what an index stores of it, and whether equal keys may have different bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum KeyType {
    Integer,
    Narrow,
    Time,
    Text,
    Float,
    Decimal,
    Binary,
    TextAndNumber,
    TwoNumbers,
    Three,
}

impl KeyType {
    pub(crate) fn any() -> impl Strategy<Value = Self> {
        use KeyType::{Binary, Decimal, Float, Integer, Narrow, Text, TextAndNumber, Three, Time, TwoNumbers};
        prop::sample::select(vec![
            Integer,
            Narrow,
            Time,
            Text,
            Float,
            Decimal,
            Binary,
            TextAndNumber,
            TwoNumbers,
            Three,
        ])
    }

    pub(crate) fn columns(self) -> Vec<String> {
        let of = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        match self {
            Self::Integer => of(&["number"]),
            Self::Narrow => of(&["narrow"]),
            Self::Time => of(&["time"]),
            Self::Text => of(&["text"]),
            Self::Float => of(&["float"]),
            Self::Decimal => of(&["decimal"]),
            Self::Binary => of(&["binary"]),
            Self::TextAndNumber => of(&["view", "number"]),
            Self::TwoNumbers => of(&["narrow", "float"]),
            Self::Three => of(&["time", "text", "decimal"]),
        }
    }
}

pub(crate) type Rows = Vec<(u32, u32)>;

/// Returns the columns of keys. `spelling` chooses among bytes of equal values.
fn key_columns(keys: &[u32], spelling: u32) -> Vec<(&'static str, ArrayRef)> {
    let number = |key: &u32| i64::from(*key) * 1_000_003 - 20_000_000;
    let text = |key: &u32| format!("key\0{key}");
    let float = |key: &u32| match (key, spelling.is_multiple_of(2)) {
        (0, true) => 0.0,
        (0, false) => -0.0,
        (1, true) => f64::NAN,
        (1, false) => f64::from_bits(f64::NAN.to_bits() ^ (1 << 63 | 0x77)),
        (key, _) => (f64::from(*key) - 20.5) * 0.1,
    };
    let decimal = |key: &u32| i128::from(number(key)) * 1_000_000_000_000;
    let decimals: Decimal128Array = keys.iter().map(|key| Some(decimal(key))).collect();
    let narrow = |key: &u32| i16::try_from(*key).unwrap() - 20;
    vec![
        ("number", Arc::new(Int64Array::from_iter_values(keys.iter().map(number)))),
        ("narrow", Arc::new(Int16Array::from_iter_values(keys.iter().map(narrow)))),
        ("time", Arc::new(TimestampMicrosecondArray::from_iter_values(keys.iter().map(number)).with_timezone("UTC"))),
        ("text", Arc::new(StringArray::from_iter_values(keys.iter().map(text)))),
        ("view", Arc::new(StringViewArray::from_iter_values(keys.iter().map(|key| text(key).repeat(3))))),
        ("float", Arc::new(Float64Array::from_iter_values(keys.iter().map(float)))),
        ("decimal", Arc::new(decimals.with_precision_and_scale(30, 4).unwrap())),
        ("binary", Arc::new(BinaryArray::from_iter_values(keys.iter().map(|key| vec![0; *key as usize])))),
    ]
}

pub(crate) fn batch(rows: &[(u32, u32)]) -> RecordBatch {
    let keys: Vec<u32> = rows.iter().map(|(key, _)| *key).collect();
    let spelling = rows.first().map_or(0, |(_, value)| *value);
    let mut columns = key_columns(&keys, spelling);
    let values = rows.iter().map(|(_, value)| *value);
    // The plain number identifies the key. Every fifth row has a null.
    columns.push(("key", Arc::new(UInt32Array::from_iter_values(keys))));
    columns.push(("value", Arc::new(UInt32Array::from_iter_values(values.clone()))));
    columns.push(("note", Arc::new(values.map(|value| (value % 5 != 0).then_some(value)).collect::<UInt32Array>())));
    let fields = columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), *name == "note"));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    RecordBatch::try_new(schema, columns.into_iter().map(|(_, array)| array).collect()).unwrap()
}

pub(crate) fn schema() -> SchemaRef {
    batch(&[]).schema()
}

/// Returns the key columns of keys, as a lookup takes them.
pub(crate) fn lookup(keys: &[u32], key: KeyType, spelling: u32) -> Vec<ArrayRef> {
    let columns = key_columns(keys, spelling);
    let array = |name: String| columns.iter().find(|(column, _)| *column == name).unwrap().1.clone();
    key.columns().into_iter().map(array).collect()
}

/// Reads rows back.
pub(crate) fn decode(rows: &RecordBatch) -> Rows {
    let column = |name: &str| rows.column_by_name(name).unwrap().as_primitive::<UInt32Type>();
    let (keys, values, notes) = (column("key"), column("value"), column("note"));
    let pairs: Rows = keys.values().iter().copied().zip(values.values().iter().copied()).collect();
    for ((key, value), note) in pairs.iter().zip(notes.iter()) {
        assert_eq!(note, (value % 5 != 0).then_some(*value), "the row of key {key} is put together from several");
    }
    pairs
}
