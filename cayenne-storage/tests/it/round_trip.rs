//! Every type that a table can have survives a round trip.

use std::sync::Arc;

use arrow_array::builder::{Int32Builder, ListBuilder, MapBuilder, MapFieldNames, StringBuilder};
use arrow_array::types::Int32Type;
use arrow_array::*;
use arrow_buffer::{NullBuffer, OffsetBuffer, ScalarBuffer, i256};
use arrow_schema::{DataType, Field, Fields, Schema, TimeUnit};
use cayenne_format::{Compression, TableOptions, UnsupportedTypeAction, stored_schema};

use crate::disk::{Disk, files_only, request, rows, whole};

async fn comes_back(field: Field, array: ArrayRef) {
    let name = format!("{field:?}");
    let schema = Arc::new(Schema::new(vec![Field::new("row", DataType::Int32, false), field]));
    let stored = stored_schema(&schema, UnsupportedTypeAction::Error).unwrap();
    assert_eq!(stored.fields(), schema.fields(), "{name} is stored as it is");
    let numbers = Int32Array::from_iter_values(0..i32::try_from(array.len()).unwrap());
    let batch = RecordBatch::try_new(schema, vec![Arc::new(numbers), array]).unwrap();
    let disk = Disk::new().await;
    let [files, inline] = disk.write_both_ways(std::slice::from_ref(&batch)).await;
    for file in [&files[0], &inline[0]] {
        let read = disk.read(file, batch.schema()).await.unwrap();
        assert_eq!(whole(&read), batch, "{name}");
    }
    for row in 0..batch.num_rows() {
        let single = disk.take(&files[0], &batch.schema(), &[row as u64], &[0, 1]).await.unwrap();
        assert_eq!(single, batch.slice(row, 1), "{name}");
    }
}

async fn kept(array: impl Array + 'static) {
    let field = Field::new("c", array.data_type().clone(), true);
    comes_back(field, Arc::new(array)).await;
}

#[tokio::test]
async fn numbers_come_back() {
    kept(NullArray::new(3)).await;
    kept(BooleanArray::from(vec![Some(true), None, Some(false)])).await;
    kept(Int8Array::from(vec![Some(i8::MIN), None, Some(i8::MAX)])).await;
    kept(Int16Array::from(vec![Some(i16::MIN), None, Some(i16::MAX)])).await;
    kept(Int32Array::from(vec![Some(i32::MIN), None, Some(i32::MAX)])).await;
    kept(Int64Array::from(vec![Some(i64::MIN), None, Some(i64::MAX)])).await;
    kept(UInt8Array::from(vec![Some(0), None, Some(u8::MAX)])).await;
    kept(UInt16Array::from(vec![Some(0), None, Some(u16::MAX)])).await;
    kept(UInt32Array::from(vec![Some(0), None, Some(u32::MAX)])).await;
    kept(UInt64Array::from(vec![Some(0), None, Some(u64::MAX)])).await;
}

#[tokio::test]
async fn decimals_come_back_with_their_width_and_scale() {
    kept(Decimal32Array::from(vec![Some(-123), None, Some(999)]).with_precision_and_scale(5, 2).unwrap()).await;
    kept(Decimal64Array::from(vec![Some(-123), None, Some(999)]).with_precision_and_scale(15, 4).unwrap()).await;
    kept(Decimal128Array::from(vec![Some(-123), None, Some(999)]).with_precision_and_scale(38, 10).unwrap()).await;
    kept(Decimal128Array::from(vec![Some(-123), None, Some(999)]).with_precision_and_scale(15, -2).unwrap()).await;
    let large = vec![Some(i256::MIN.wrapping_div(i256::from(10))), None, Some(i256::from(7))];
    kept(Decimal256Array::from(large).with_precision_and_scale(76, 10).unwrap()).await;
}

#[tokio::test]
async fn floats_come_back_bit_by_bit() {
    let values = [0.0, -0.0, f64::NAN, -f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MIN_POSITIVE, 1.5];
    let disk = Disk::new().await;
    let batch = RecordBatch::try_from_iter([
        ("a", Arc::new(Float64Array::from(values.to_vec())) as ArrayRef),
        ("b", arrow_cast::cast(&Float64Array::from(values.to_vec()), &DataType::Float32).unwrap()),
    ])
    .unwrap();
    let files = disk.write(vec![batch.clone()]).await.unwrap();
    let read = whole(&disk.read(&files[0], batch.schema()).await.unwrap());
    let bits = |batch: &RecordBatch| -> (Vec<u64>, Vec<u32>) {
        let a = batch.column(0).as_any().downcast_ref::<Float64Array>().unwrap();
        let b = batch.column(1).as_any().downcast_ref::<Float32Array>().unwrap();
        (a.values().iter().map(|v| v.to_bits()).collect(), b.values().iter().map(|v| v.to_bits()).collect())
    };
    assert_eq!(bits(&read), bits(&batch));
}

#[tokio::test]
async fn dates_and_times_come_back_in_their_units() {
    kept(Date32Array::from(vec![Some(-1), None, Some(20_000)])).await;
    kept(Date64Array::from(vec![Some(-86_400_001), None, Some(1_700_000_000_123)])).await;
    kept(Time32SecondArray::from(vec![Some(0), None, Some(86_399)])).await;
    kept(Time32MillisecondArray::from(vec![Some(0), None, Some(86_399_999)])).await;
    kept(Time64MicrosecondArray::from(vec![Some(0), None, Some(86_399_999_999)])).await;
    kept(Time64NanosecondArray::from(vec![Some(0), None, Some(86_399_999_999_999)])).await;
}

#[tokio::test]
async fn timestamps_come_back_in_every_unit_and_zone() {
    let values: Int64Array = vec![Some(-1_234_567_891), None, Some(1_700_000_000_123_456_789)].into();
    for unit in [TimeUnit::Second, TimeUnit::Millisecond, TimeUnit::Microsecond, TimeUnit::Nanosecond] {
        for zone in [None, Some("UTC"), Some("+00:00"), Some("+05:30"), Some("-05:30"), Some("America/New_York")] {
            let data_type = DataType::Timestamp(unit, zone.map(Into::into));
            let data = values.to_data().into_builder().data_type(data_type).build().unwrap();
            kept(make_array(data)).await;
        }
    }
}

#[tokio::test]
async fn text_and_bytes_come_back_as_they_were_declared() {
    let text = vec![Some(""), None, Some("short"), Some("a text longer than a view holds — ünïcode 🌶")];
    kept(StringArray::from(text.clone())).await;
    kept(LargeStringArray::from(text.clone())).await;
    kept(StringViewArray::from(text)).await;
    let bytes: Vec<Option<&[u8]>> =
        vec![Some(b""), None, Some(b"\0\xff"), Some(b"a value longer than twelve bytes \xff")];
    kept(BinaryArray::from(bytes.clone())).await;
    kept(LargeBinaryArray::from(bytes.clone())).await;
    kept(BinaryViewArray::from(bytes)).await;
}

#[tokio::test]
async fn times_that_vortex_has_no_word_for_come_back_too() {
    kept(TimestampSecondArray::from(vec![Some(i64::MIN), None, Some(i64::MAX)])).await;
    // The last second of the year 9999, a usual mark for "still valid".
    kept(TimestampMillisecondArray::from(vec![Some(253_402_300_799_000), None]).with_timezone("UTC")).await;
    kept(TimestampMicrosecondArray::from(vec![Some(i64::MAX), None])).await;
    kept(TimestampMicrosecondArray::from(vec![Some(0), None]).with_timezone("Mars/Olympus_Mons")).await;
    kept(Time32SecondArray::from(vec![Some(86_400), None, Some(-1)])).await;
    kept(Time64NanosecondArray::from(vec![Some(86_400_000_000_000), None])).await;
    kept(Date32Array::from(vec![Some(i32::MIN), None, Some(i32::MAX)])).await;
    kept(Date64Array::from(vec![Some(i64::MIN), None, Some(i64::MAX)])).await;
    let times: ArrayRef = Arc::new(TimestampSecondArray::from(vec![i64::MAX, 1]));
    let field = Arc::new(Field::new("time", times.data_type().clone(), false));
    kept(StructArray::from(vec![(field, times)])).await;
}

fn lists() -> ListArray {
    ListArray::from_iter_primitive::<Int32Type, _, _>([
        Some(vec![Some(1), None]),
        None,
        Some(vec![]),
        Some(vec![Some(2)]),
    ])
}

#[tokio::test]
async fn lists_come_back_with_nulls_and_empty_ones() {
    kept(lists()).await;
    let item = || Arc::new(Field::new("element", DataType::Int32, true));
    let values: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), None, Some(2)]));
    let nulls = || Some(NullBuffer::from(vec![true, false, true, true]));
    let offsets = OffsetBuffer::new(ScalarBuffer::from(vec![0_i64, 2, 2, 2, 3]));
    kept(LargeListArray::try_new(item(), offsets, Arc::clone(&values), nulls()).unwrap()).await;
    let (offsets, sizes) = (ScalarBuffer::from(vec![0_i32, 0, 2, 1]), ScalarBuffer::from(vec![2_i32, 0, 1, 0]));
    kept(ListViewArray::try_new(item(), offsets, sizes, Arc::clone(&values), nulls()).unwrap()).await;
    let (offsets, sizes) = (ScalarBuffer::from(vec![0_i64, 0, 2, 1]), ScalarBuffer::from(vec![2_i64, 0, 1, 0]));
    kept(LargeListViewArray::try_new(item(), offsets, sizes, values, nulls()).unwrap()).await;
    let pairs: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), None, Some(0), Some(0), Some(2), Some(3)]));
    kept(FixedSizeListArray::try_new(item(), 2, pairs, Some(NullBuffer::from(vec![true, false, true]))).unwrap()).await;
    let mut nested = ListBuilder::new(ListBuilder::new(StringBuilder::new()));
    nested.values().values().append_value("x");
    nested.values().append(true);
    nested.values().append(false);
    nested.append(true);
    nested.append(false);
    nested.append(true);
    kept(nested.finish()).await;
}

#[tokio::test]
async fn structs_come_back_with_nulls_at_every_level() {
    let inner = Fields::from(vec![Field::new("x", DataType::Int32, false), Field::new("y", DataType::Utf8, true)]);
    let x: ArrayRef = Arc::new(Int32Array::from(vec![1, 2, 3]));
    let y: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None, None]));
    let nulls = NullBuffer::from(vec![true, true, false]);
    let inner = StructArray::try_new(inner, vec![x, y], Some(nulls)).unwrap();
    kept(inner.clone()).await;
    let outer = Fields::from(vec![
        Field::new("inner", inner.data_type().clone(), true),
        Field::new("list", lists().data_type().clone(), true),
    ]);
    let outer = StructArray::try_new(outer, vec![Arc::new(inner), Arc::new(lists().slice(0, 3))], None).unwrap();
    kept(outer).await;
    kept(StructArray::new_empty_fields(3, Some(NullBuffer::from(vec![true, false, true])))).await;
}

#[tokio::test]
async fn maps_come_back_with_their_names_and_nullability() {
    for names in [("entries", "keys", "values"), ("key_value", "key", "value")] {
        let names = MapFieldNames { entry: names.0.into(), key: names.1.into(), value: names.2.into() };
        for is_nullable in [true, false] {
            let value = Field::new(&names.value, DataType::Int32, is_nullable);
            let mut map = MapBuilder::new(Some(names.clone()), StringBuilder::new(), Int32Builder::new())
                .with_values_field(value);
            map.keys().append_value("a");
            map.values().append_value(1);
            map.keys().append_value("b");
            if is_nullable {
                map.values().append_null();
            } else {
                map.values().append_value(2);
            }
            map.append(true).unwrap();
            map.append(false).unwrap();
            map.append(true).unwrap();
            kept(map.finish()).await;
        }
    }
}

#[tokio::test]
async fn columns_that_may_not_be_null_and_their_metadata_come_back() {
    let metadata = [("ARROW:extension:name".to_owned(), "arrow.json".to_owned()), ("unit".to_owned(), "m".to_owned())];
    let field = Field::new("c", DataType::Utf8, false).with_metadata(metadata.into());
    comes_back(field, Arc::new(StringArray::from(vec!["{}", "[]"]))).await;
}

#[tokio::test]
async fn a_thousand_columns_come_back() {
    let columns = (0..1000).map(|column| {
        let values = Int32Array::from_iter_values(column..column + 3);
        (format!("c{column}"), Arc::new(values) as ArrayRef)
    });
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let disk = Disk::new().await;
    let files = disk.write(vec![batch.clone()]).await.unwrap();
    assert_eq!(whole(&disk.read(&files[0], batch.schema()).await.unwrap()), batch);
    assert_eq!(disk.pool.reserved(), 0);
}

#[tokio::test]
async fn both_compressions_come_back_and_differ_in_size() {
    let text = (0..200_000).map(|row| format!("event {} of session {}", row % 977, row * 7919 % 100_003));
    let numbers = (0..200_000_u64).map(|row| row.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40);
    let batch = RecordBatch::try_from_iter([
        ("text", Arc::new(StringArray::from_iter_values(text)) as ArrayRef),
        ("number", Arc::new(UInt64Array::from_iter_values(numbers))),
    ])
    .unwrap();
    let disk = Disk::new().await;
    let mut sizes = Vec::new();
    for compression in [Compression::BtrBlocks, Compression::Zstd] {
        let mut request = request(batch.schema(), vec![rows(vec![batch.clone()])]);
        request.options = TableOptions { compression, ..files_only() };
        let files = disk.storage.write(request).await.unwrap();
        assert_eq!(whole(&disk.read(&files[0], batch.schema()).await.unwrap()), batch);
        sizes.push(files[0].file.bytes);
    }
    assert!(sizes[1] < sizes[0], "zstd is smaller: {sizes:?}");
}

/// Words in random order, hexadecimal numbers, and stretches of each in turn: another encoding is best for each column.
fn texts(from: u64, count: u64) -> RecordBatch {
    let random = |row: u64| row.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(23).wrapping_mul(0xD6E8_FEB8_6659_FD93);
    let words = ["furiously", "the", "deposits", "above", "ironic", "packages", "sleep", "quickly", "to", "final"];
    let prose = |row: u64| {
        let words = (0..8).map(|word| words[usize::try_from(random(row * 8 + word) >> 40).unwrap() % words.len()]);
        words.collect::<Vec<_>>().join(" ")
    };
    let hex = |row: u64| format!("{:016x}{:016x}", random(row), random(row + (1 << 40)));
    let rows = from..from + count;
    let mixed = |row: u64| if (row / 40_000).is_multiple_of(2) { prose(row) } else { hex(row) };
    RecordBatch::try_from_iter([
        ("prose", Arc::new(StringArray::from_iter_values(rows.clone().map(prose))) as ArrayRef),
        ("hex", Arc::new(StringViewArray::from_iter_values(rows.clone().map(hex)))),
        ("mixed", Arc::new(StringArray::from_iter_values(rows.map(mixed)))),
    ])
    .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_columns_of_text_come_back_and_take_less_room() {
    let disk = Disk::new().await;
    let batches: Vec<RecordBatch> = (0..20).map(|batch| texts(batch * 8192, 8192)).collect();
    let files = disk.write(batches.clone()).await.unwrap();
    assert_eq!(files.len(), 1);
    assert_eq!(whole(&disk.read(&files[0], batches[0].schema()).await.unwrap()), whole(&batches));
    let given: usize = batches.iter().map(RecordBatch::get_array_memory_size).sum();
    assert!(files[0].file.bytes * 2 < given as u64, "{} of {given}", files[0].file.bytes);
}
