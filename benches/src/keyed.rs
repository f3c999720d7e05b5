//! TPC-H `lineitem` with an additional key column, and random keys of it. They are the same on every machine.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, RecordBatchIterator};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef};
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::{Result, data};

/// The key of `lineitem`, which is its first column; also the only column of a file of keys.
pub(crate) const KEY: &str = "id";

/// The version of the generated rows. It is raised when they change, so that an old file is not reused.
const LAYOUT: u32 = 1;

const LINEITEM: &str = "lineitem";

/// The seed of the keys of a table whose rows are not in key order.
const ROWS_SEED: u64 = 6;

/// The order of the rows of a table with regard to their keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Sorted,
    Random,
}

impl Order {
    fn word(self) -> &'static str {
        match self {
            Self::Sorted => "sorted",
            Self::Random => "random",
        }
    }
}

/// `lineitem` at one scale factor, with keys from 0 on.
#[derive(Clone, Debug)]
pub(crate) struct Lineitem {
    folder: PathBuf,
    pub(crate) rows: usize,
}

impl Lineitem {
    /// Generates the table without its key unless it exists.
    pub(crate) fn generate(folder: &Path, sf: f64) -> Result<Self> {
        data::prepare(folder, sf, &[LINEITEM])?;
        let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(data::file(folder, LINEITEM))?)?;
        let rows = usize::try_from(reader.metadata().file_metadata().num_rows())?;
        Ok(Self { folder: folder.to_owned(), rows })
    }

    /// Writes a file of the table with keys unless it exists, reads it once, and returns its path.
    pub(crate) fn with_keys(&self, order: Order) -> Result<PathBuf> {
        self.write(order, self.rows)
    }

    /// As `with_keys`, in key order, but only of the first `rows` rows.
    pub(crate) fn first(&self, rows: usize) -> Result<PathBuf> {
        self.write(Order::Sorted, rows.min(self.rows))
    }

    /// Writes a file of `count` distinct random keys, and returns its path.
    pub(crate) fn some_keys(&self, count: usize, seed: u64) -> Result<PathBuf> {
        let path = self.folder.join(format!("lineitem-keys-{LAYOUT}-{count}-{seed}.parquet"));
        let schema = Arc::new(Schema::new(vec![key_field()]));
        let keys: ArrayRef = Arc::new(Int64Array::from(random_keys(self.rows, count, seed)));
        let batch = RecordBatch::try_new(Arc::clone(&schema), vec![keys])?;
        write_once(&path, schema, std::iter::once(Ok(batch)))?;
        Ok(path)
    }

    fn write(&self, order: Order, rows: usize) -> Result<PathBuf> {
        let path = self.folder.join(format!("lineitem-{}-{LAYOUT}-{rows}.parquet", order.word()));
        let file = File::open(data::file(&self.folder, LINEITEM))?;
        let reader = ParquetRecordBatchReaderBuilder::try_new(file)?.with_limit(rows).build()?;
        let mut fields = vec![Arc::new(key_field())];
        fields.extend(arrow_array::RecordBatchReader::schema(&reader).fields().iter().map(Arc::clone));
        let schema = Arc::new(Schema::new(fields));
        let shuffle = Shuffle::new(self.rows, ROWS_SEED);
        let (mut begin, keyed) = (0_u64, Arc::clone(&schema));
        let batches = reader.map(move |batch| {
            let batch = batch?;
            let rows = begin..begin + batch.num_rows() as u64;
            begin = rows.end;
            let key = |row| if order == Order::Random { shuffle.place(row) } else { row };
            let keys: Int64Array = rows.map(|row| i64::try_from(key(row)).ok()).collect();
            let mut columns: Vec<ArrayRef> = vec![Arc::new(keys)];
            columns.extend(batch.columns().iter().map(Arc::clone));
            RecordBatch::try_new(Arc::clone(&keyed), columns)
        });
        write_once(&path, schema, batches)?;
        Ok(path)
    }
}

/// Returns `count` distinct random keys of a table with `rows` rows.
pub(crate) fn random_keys(rows: usize, count: usize, seed: u64) -> Vec<i64> {
    let shuffle = Shuffle::new(rows, seed);
    (0..count.min(rows) as u64).filter_map(|number| i64::try_from(shuffle.place(number)).ok()).collect()
}

fn key_field() -> Field {
    Field::new(KEY, DataType::Int64, false)
}

fn write_once(
    path: &Path,
    schema: SchemaRef,
    batches: impl Iterator<Item = std::result::Result<RecordBatch, ArrowError>> + 'static,
) -> Result<()> {
    if !path.exists() {
        println!("generating {}", path.display());
        fs::create_dir_all(path.parent().ok_or("a file has a folder")?)?;
        data::write_file(path, Box::new(RecordBatchIterator::new(batches, schema)))?;
    }
    data::read_file_once(path)
}

/// Permutes the numbers below `rows` pseudorandomly, without storing a list of them.
///
/// A Feistel network permutes the numbers of twice `half_bits` bits. A result outside of the range goes through it
/// again.
struct Shuffle {
    rows: u64,
    half_bits: u32,
    seed: u64,
}

impl Shuffle {
    fn new(rows: usize, seed: u64) -> Self {
        let rows = rows as u64;
        let bits = u64::BITS - rows.saturating_sub(1).leading_zeros();
        Self { rows, half_bits: bits.div_ceil(2).max(1), seed }
    }

    /// Returns the place of `row`, which must be below the number of rows: otherwise the loop may not end.
    fn place(&self, row: u64) -> u64 {
        debug_assert!(row < self.rows, "only the number of a row has a place");
        let mut place = self.permute(row);
        while place >= self.rows {
            place = self.permute(place);
        }
        place
    }

    fn permute(&self, value: u64) -> u64 {
        let mask = (1 << self.half_bits) - 1;
        let halves = (value >> self.half_bits, value & mask);
        let (left, right) = (0..4).fold(halves, |(left, right), round| {
            (right, left ^ (mix(right ^ (self.seed << 32) ^ (round << 60)) & mask))
        });
        (left << self.half_bits) | right
    }
}

/// The finalizer of splitmix64.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn shuffled_keys_are_all_keys_in_another_order() {
        for rows in [1, 2, 3, 100, 1_000] {
            let keys = random_keys(rows, rows, 7);
            assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), rows);
            assert_eq!(keys.iter().max(), i64::try_from(rows - 1).ok().as_ref());
        }
        let rising = random_keys(1_000, 1_000, 7).windows(2).filter(|pair| pair[0] < pair[1]).count();
        assert!((400..600).contains(&rising), "{rising}");
    }

    #[test]
    fn another_seed_draws_other_keys() {
        assert_ne!(random_keys(1_000, 20, 7), random_keys(1_000, 20, 8));
        assert_eq!(random_keys(1_000, 20, 7), random_keys(1_000, 20, 7));
    }

    #[test]
    fn table_has_seventeen_columns_and_as_many_rows_as_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let lineitem = Lineitem::generate(folder.path(), 0.001).unwrap();
        for (path, rows) in
            [(lineitem.with_keys(Order::Random).unwrap(), lineitem.rows), (lineitem.first(100).unwrap(), 100)]
        {
            let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
            assert_eq!(reader.schema().fields().len(), 17);
            assert_eq!(usize::try_from(reader.metadata().file_metadata().num_rows()).unwrap(), rows);
        }
    }
}
