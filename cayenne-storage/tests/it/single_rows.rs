//! Single rows by their positions: the same values that a scan returns, with no more work than they need.

use std::sync::{Arc, LazyLock};

use arrow_array::types::Int64Type;
use arrow_array::*;
use arrow_schema::{Field, Fields};
use arrow_select::take::take_record_batch;
use cayenne_format::{ErrorKind, NewDataFile};
use cayenne_storage::StorageSettings;
use proptest::prelude::*;
use proptest::sample::subsequence;

use crate::disk::{Disk, With};

const ROWS: usize = 70_000;

/// A number that resembles no other.
fn noise(row: usize) -> u64 {
    (row as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29)
}

fn column<A: Array + 'static>(name: &str, array: A) -> (String, ArrayRef, bool) {
    let has_nulls = array.logical_null_count() > 0;
    (name.to_owned(), Arc::new(array), has_nulls)
}

/// Columns that are encoded in every way: runs, few values, rare values, numbers in a row or in no order, prices,
/// coordinates, words, sentences, and layouts that Vortex itself reads.
fn rows(count: usize) -> RecordBatch {
    let all = || 0..count;
    let number = |row: usize| i64::try_from(noise(row) >> 8).unwrap();
    let price = |row: usize| i32::try_from(noise(row) % 100_000).map(|cents| f64::from(cents) / 100.0).unwrap();
    let angle = |row: usize| (price(row) + 0.1).sin();
    let word = |row: usize| ["AIR", "RAIL", "SHIP", "TRUCK", "REG AIR"][usize::try_from(noise(row) % 5).unwrap()];
    let sentence = |row: usize| format!("{} carefully {} about the {}", word(row), word(row * 7), noise(row) % 1_000);
    let decimals = Decimal128Array::from_iter_values(all().map(|row| i128::from(number(row) % 1_000_000)));
    let times = TimestampMicrosecondArray::from_iter_values(all().map(|row| number(row) % 1_000_000_000_000));
    let items = |row: usize| (0..row % 4).map(|item| Some(number(row + item))).collect::<Vec<_>>();
    let lists = all().map(|row| (row % 3 > 0).then(|| items(row)));
    let small = |row: usize| (!row.is_multiple_of(11)).then_some(i32::try_from(row % 97).unwrap());
    let flag = |row: usize| (!row.is_multiple_of(17)).then_some(noise(row).is_multiple_of(3));
    let inner: ArrayRef = Arc::new(Int64Array::from_iter_values(all().map(number)));
    let fields = Fields::from(vec![Field::new("inner", inner.data_type().clone(), true)]);
    RecordBatch::try_from_iter_with_nullable([
        column("sequence", Int64Array::from_iter_values(all().map(|row| i64::try_from(row).unwrap()))),
        column("number", Int64Array::from_iter_values(all().map(number))),
        column("small", all().map(small).collect::<Int32Array>()),
        column("runs", Int64Array::from_iter_values(all().map(|row| number(row / 300)))),
        column("rare", all().map(|row| (row % 500 == 7).then(|| number(row))).collect::<Int64Array>()),
        column("price", all().map(|row| (row % 13 > 0).then(|| price(row))).collect::<Float64Array>()),
        column("angle", Float64Array::from_iter_values(all().map(angle))),
        column("decimal", decimals.with_precision_and_scale(15, 2).unwrap()),
        column(
            "date",
            Date32Array::from_iter_values(all().map(|row| 8_000 + i32::try_from(noise(row) % 3_000).unwrap())),
        ),
        column("time", times.with_timezone("UTC")),
        column("flag", all().map(flag).collect::<BooleanArray>()),
        column("word", StringViewArray::from_iter_values(all().map(word))),
        column("sentence", all().map(|row| (row % 19 > 0).then(|| sentence(row))).collect::<StringViewArray>()),
        column("key", StringArray::from_iter_values(all().map(|row| format!("{:032x}", u128::from(noise(row)) << 9)))),
        column("null", NullArray::new(count)),
        column("same", Int64Array::from_iter_values(all().map(|_| 42))),
        column("list", ListArray::from_iter_primitive::<Int64Type, _, _>(lists)),
        column("struct", StructArray::new(fields, vec![inner], None)),
    ])
    .unwrap()
}

/// A file of many blocks.
struct Written {
    disk: Disk,
    file: NewDataFile,
    rows: RecordBatch,
}

impl Written {
    async fn of(rows: RecordBatch, settings: StorageSettings) -> Self {
        let disk = Disk::with(With { settings, ..With::default() }).await;
        let mut files = disk.write(vec![rows.clone()]).await.unwrap();
        assert_eq!(files.len(), 1);
        Self { disk, file: files.remove(0), rows }
    }

    async fn check(&self, positions: &[u64], columns: &[usize]) {
        let found = self.disk.take(&self.file, &self.rows.schema(), positions, columns).await.unwrap();
        let expected = take_record_batch(&self.rows, &UInt64Array::from(positions.to_vec())).unwrap();
        assert_eq!(found, expected.project(columns).unwrap(), "{positions:?}");
    }
}

/// The same file for all cases: with a segment cache, with one that is too small, and without one.
static FILES: LazyLock<[Written; 3]> = LazyLock::new(|| {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let with = |segment_cache_bytes| StorageSettings { segment_cache_bytes, ..StorageSettings::default() };
    [256 << 20, 100_000, 0].map(|bytes| runtime.block_on(Written::of(rows(ROWS), with(bytes))))
});

/// Rows all over the file, in one block, side by side, or all rows of a stretch.
fn positions() -> impl Strategy<Value = Vec<u64>> {
    let scattered = prop::collection::btree_set(0..ROWS as u64, 1..60).prop_map(|rows| rows.into_iter().collect());
    let begin = 0..ROWS as u64 - 3_000;
    let close = (begin.clone(), subsequence((0..3_000).collect::<Vec<u64>>(), 1..50));
    let stretch = (begin, 1..3_000_u64);
    prop_oneof![
        scattered,
        close.prop_map(|(begin, rows)| rows.into_iter().map(|row| begin + row).collect()),
        stretch.prop_map(|(begin, length)| (begin..begin + length).collect()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn rows_by_their_positions_are_those_that_were_written(
        positions in positions(),
        columns in prop::collection::vec(0..18_usize, 1..18),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let mut unique = columns;
        unique.sort_unstable();
        unique.dedup();
        for written in &*FILES {
            // The third time from the cache, where there is one.
            for _ in 0..3 {
                runtime.block_on(written.check(&positions, &unique));
            }
        }
    }
}

#[tokio::test]
async fn columns_come_in_the_order_asked_for() {
    let written = Written::of(rows(100), StorageSettings::default()).await;
    for _ in 0..3 {
        written.check(&[3, 99], &[12, 0, 5]).await;
        written.check(&[0], &[17]).await;
        written.check(&(0..100).collect::<Vec<_>>(), &[16, 15, 14]).await;
    }
}

#[tokio::test]
async fn rows_that_a_file_does_not_have_are_refused() {
    let written = Written::of(rows(100), StorageSettings::default()).await;
    for positions in [&[100][..], &[7, 7], &[8, 7], &[0, u64::MAX]] {
        let refused = written.disk.take(&written.file, &written.rows.schema(), positions, &[0, 1]).await;
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::Internal, "{positions:?}");
    }
}

#[test]
fn no_segment_is_decoded_for_one_row() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let written = runtime.block_on(Written::of(rows(ROWS), StorageSettings::default()));
    let schema = written.rows.schema();
    // Lists and nested structs are read as scans read them.
    let columns: Vec<usize> = (0..16).collect();
    let row = |position: u64| runtime.block_on(written.disk.take(&written.file, &schema, &[position], &columns));
    for _ in 0..3 {
        row(30_000).unwrap();
    }
    let asked = allocation_counter::measure(|| drop(row(30_001).unwrap()));
    // A decoded block of 8,192 rows takes 64 KiB for one column of numbers.
    assert!(asked.bytes_total < 64 * 1024, "{asked:?}");
}
