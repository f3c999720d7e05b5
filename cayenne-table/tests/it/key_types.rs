//! Every type that a key can have: what SQL calls equal is one key, in memory, in files, after reopening.

use std::sync::Arc;

use arrow_array::types::{Int8Type, Int32Type};
use arrow_array::*;
use arrow_buffer::i256;
use arrow_schema::{Field, Schema};
use cayenne_format::{InlineOptions, TableOptions};
use cayenne_table::Table;
use cayenne_testkit::stream_of;

use crate::fixture::{database, existing, name, open};

/// A column of six rows: the first three differ, and the others are equal to these, in the same order.
fn columns() -> Vec<(&'static str, ArrayRef)> {
    let texts = || ["", "a\0b", "a", "", "a\0b", "a"];
    let bytes: Vec<&[u8]> = vec![b"", b"\0", b"\0\0", b"", b"\0", b"\0\0"];
    let (nan, other_nan) = (f64::NAN, f64::from_bits(f64::NAN.to_bits() ^ 1 << 63 | 5));
    let floats = vec![0.0, nan, f64::NEG_INFINITY, -0.0, other_nan, f64::NEG_INFINITY];
    let short: Vec<f32> = vec![0.0, f32::NAN, 1.0, -0.0, -f32::NAN, 1.0];
    let wide = vec![i128::MIN / 4, -1, 7, i128::MIN / 4, -1, 7];
    let signed = vec![i64::MIN, -1, i64::MAX, i64::MIN, -1, i64::MAX];
    vec![
        ("i8", Arc::new(Int8Array::from(vec![-128, 0, 127, -128, 0, 127]))),
        ("i16", Arc::new(Int16Array::from(vec![-1, 0, 1, -1, 0, 1]))),
        ("i32", Arc::new(Int32Array::from(vec![i32::MIN, 0, 1, i32::MIN, 0, 1]))),
        ("i64", Arc::new(Int64Array::from(signed.clone()))),
        ("u8", Arc::new(UInt8Array::from(vec![255, 0, 1, 255, 0, 1]))),
        ("u16", Arc::new(UInt16Array::from(vec![9, 0, 1, 9, 0, 1]))),
        ("u32", Arc::new(UInt32Array::from(vec![u32::MAX, 0, 1, u32::MAX, 0, 1]))),
        ("u64", Arc::new(UInt64Array::from(vec![u64::MAX, 0, 1, u64::MAX, 0, 1]))),
        ("f32", Arc::new(Float32Array::from(short))),
        ("f64", Arc::new(Float64Array::from(floats))),
        ("decimal", Arc::new(Decimal128Array::from(wide.clone()).with_precision_and_scale(38, 3).unwrap())),
        (
            "wide decimal",
            Arc::new(
                wide.iter()
                    .map(|value| Some(i256::from_i128(*value)))
                    .collect::<Decimal256Array>()
                    .with_precision_and_scale(60, 2)
                    .unwrap(),
            ),
        ),
        ("date", Arc::new(Date32Array::from(vec![-1, 0, 20_000, -1, 0, 20_000]))),
        ("time", Arc::new(Time64MicrosecondArray::from(vec![0, 1, 86_399_999_999, 0, 1, 86_399_999_999]))),
        ("timestamp", Arc::new(TimestampMicrosecondArray::from(vec![-5, 0, 1 << 60, -5, 0, 1 << 60]))),
        ("moment", Arc::new(TimestampNanosecondArray::from(signed).with_timezone("Europe/Paris"))),
        ("text", Arc::new(StringArray::from_iter_values(texts()))),
        ("large text", Arc::new(LargeStringArray::from_iter_values(texts()))),
        ("text view", Arc::new(StringViewArray::from_iter_values(texts().map(|text| text.repeat(9))))),
        ("dictionary", Arc::new(texts().into_iter().collect::<DictionaryArray<Int8Type>>())),
        ("wide dictionary", Arc::new(texts().into_iter().collect::<DictionaryArray<Int32Type>>())),
        ("binary", Arc::new(BinaryArray::from_iter_values(bytes.clone()))),
        ("binary view", Arc::new(BinaryViewArray::from_iter_values(bytes))),
    ]
}

fn batch(schema: &Arc<Schema>, keys: &[ArrayRef], from: usize, value: i64) -> RecordBatch {
    let mut columns: Vec<ArrayRef> = keys.iter().map(|key| key.slice(from, 3)).collect();
    columns.push(Arc::new(Int64Array::from(vec![value; 3])));
    RecordBatch::try_new(Arc::clone(schema), columns).unwrap()
}

async fn found(table: &Table, keys: &[ArrayRef], from: usize) -> u64 {
    let view = table.view().await.unwrap();
    let keys: Vec<ArrayRef> = keys.iter().map(|key| key.slice(from, 3)).collect();
    table.find(&view, &keys).await.unwrap().len()
}

/// Writes three keys, and finds and replaces them by their equals.
async fn one_key_whatever_the_bytes(what: &str, keys: &[ArrayRef]) {
    let fields = keys.iter().enumerate().map(|(at, key)| Field::new(format!("k{at}"), key.data_type().clone(), false));
    let names: Vec<String> = fields.clone().map(|field| field.name().clone()).collect();
    let value = Field::new("value", arrow_schema::DataType::Int64, false);
    let schema = Arc::new(Schema::new(fields.chain([value]).collect::<Vec<_>>()));
    for max_rows in [0, 1_000] {
        let (folder, first) = database().await;
        let inline = InlineOptions { max_rows, ..InlineOptions::default() };
        let options = TableOptions { primary_key: names.clone(), inline, ..TableOptions::default() };
        let t = first.create_table(&name("t"), &schema, options).await.unwrap();
        let rows = |from, value| vec![stream_of(vec![batch(&schema, keys, from, value)])];
        assert_eq!(t.append(rows(0, 1)).await.unwrap().rows_removed, 0, "{what}");
        assert_eq!((found(&t, keys, 0).await, found(&t, keys, 3).await), (3, 3), "{what}");
        assert_eq!(t.append(rows(3, 2)).await.unwrap().rows_removed, 3, "{what}");
        t.flush().await.unwrap();
        assert_eq!(t.append(rows(0, 3)).await.unwrap().rows_removed, 3, "{what} after a flush");
        let both = vec![stream_of(vec![batch(&schema, keys, 0, 4), batch(&schema, keys, 3, 5)])];
        let written = t.append(both).await.unwrap();
        assert_eq!((written.rows, written.rows_removed), (3, 3), "{what} twice in a statement");
        drop(t);
        first.close().await.unwrap();
        let second = open(folder.path()).await;
        let t = existing(&second, "t").await;
        assert_eq!((found(&t, keys, 0).await, found(&t, keys, 3).await), (3, 3), "{what} after reopening");
        let rows = vec![stream_of(vec![batch(&schema, keys, 3, 6)])];
        assert_eq!(t.append(rows).await.unwrap().rows_removed, 3, "{what} after reopening");
        assert_eq!(t.view().await.unwrap().snapshot().visible_rows(), Some(3), "{what}");
    }
}

// pitfall 2
#[tokio::test(flavor = "multi_thread")]
async fn equal_values_of_every_type_are_one_key() {
    for (what, column) in columns() {
        one_key_whatever_the_bytes(what, &[column]).await;
    }
}

// pitfall 2
#[tokio::test(flavor = "multi_thread")]
async fn equal_values_of_every_two_types_are_one_key() {
    let columns = columns();
    for (at, (what, column)) in columns.iter().enumerate() {
        let (other_what, other) = &columns[(at * 5 + 3) % columns.len()];
        one_key_whatever_the_bytes(&format!("{what}, {other_what}"), &[Arc::clone(column), Arc::clone(other)]).await;
    }
}

/// Composite keys of texts differ even if their concatenations are equal.
#[tokio::test(flavor = "multi_thread")]
async fn keys_of_two_texts_do_not_run_together() {
    let (_folder, database) = database().await;
    let field = |name| Field::new(name, arrow_schema::DataType::Utf8, false);
    let schema = Arc::new(Schema::new(vec![field("a"), field("b")]));
    let options = TableOptions { primary_key: vec!["a".into(), "b".into()], ..TableOptions::default() };
    let t = database.create_table(&name("t"), &schema, options).await.unwrap();
    let pairs = [
        ("ab", "c"),
        ("a", "bc"),
        ("", "abc"),
        ("abc", ""),
        ("a\0", "b"),
        ("a", "\0b"),
        ("a\0\u{ff}", ""),
        ("a", "\u{ff}"),
    ];
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(pairs.map(|pair| pair.0))),
        Arc::new(StringArray::from_iter_values(pairs.map(|pair| pair.1))),
    ];
    let rows = RecordBatch::try_new(schema, columns.clone()).unwrap();
    assert_eq!(t.append(vec![stream_of(vec![rows])]).await.unwrap().rows, pairs.len() as u64);
    assert_eq!(t.find(&t.view().await.unwrap(), &columns).await.unwrap().len(), pairs.len() as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_that_cannot_be_a_key_are_refused_before_anything_is_made() {
    let (folder, database) = database().await;
    let schema = Schema::new(vec![
        Field::new("id", arrow_schema::DataType::Int64, true),
        Field::new(
            "list",
            arrow_schema::DataType::List(Arc::new(Field::new("item", arrow_schema::DataType::Int64, true))),
            true,
        ),
    ]);
    for key in [vec!["list"], vec!["nobody"], vec!["id", "id"], vec!["ID"]] {
        let options = TableOptions {
            primary_key: key.iter().map(|name| (*name).to_owned()).collect(),
            ..TableOptions::default()
        };
        let error = database.create_table(&name("t"), &schema, options).await.unwrap_err();
        assert_eq!(error.kind(), cayenne_format::ErrorKind::Invalid, "{key:?}: {error:?}");
    }
    assert_eq!(std::fs::read_dir(folder.path().join("data")).map_or(0, Iterator::count), 0);
    let options = TableOptions { primary_key: vec!["id".into()], ..TableOptions::default() };
    let t = database.create_table(&name("t"), &schema, options).await.unwrap();
    let null = RecordBatch::try_new(
        Arc::new(schema.clone()),
        vec![Arc::new(Int64Array::from(vec![Some(1), None])), new_null_array(schema.field(1).data_type(), 2)],
    );
    let error = t.append(vec![stream_of(vec![null.unwrap()])]).await.unwrap_err();
    assert!(error.to_string().contains("id"), "{error}");
    assert_eq!(error.kind(), cayenne_format::ErrorKind::Invalid, "{error:?}");
}
