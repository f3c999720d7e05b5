//! The rows of the keyed workloads: accounts with a key and seven more columns, and the batches that change them. They
//! are the same on every machine.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{
    ArrayRef, Float64Array, Int32Array, Int64Array, RecordBatch, RecordBatchIterator, StringArray,
    TimestampMicrosecondArray,
};
use arrow_schema::ArrowError;
use cayenne_metastore::conformance::Samples;

use crate::{Result, data};

/// The key column.
pub(crate) const KEY: &str = "id";

/// The version of the generated rows. It is raised when they change, so that an old file is not reused.
const LAYOUT: u32 = 1;
const SEED: u64 = 8;
const BATCH_ROWS: usize = 8_000;

/// The percentage of the rows of a batch whose key exists already.
const EXISTING_PERCENT: usize = 80;

/// The time of the first row, in microseconds: 2026-01-01.
const START_US: i64 = 1_767_225_600_000_000;

const COUNTRIES: [&str; 8] = ["AT", "BR", "CA", "DE", "FR", "IN", "JP", "US"];
const PLANS: [&str; 4] = ["free", "basic", "business", "enterprise"];

/// The number of accounts, and how many of them are changed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// The number of rows. Their keys start at 0 and ascend.
    pub(crate) base: usize,
    pub(crate) batches: usize,
    /// Keys are unique within a batch. Existing keys are drawn from all keys so far, new ones follow the largest.
    pub(crate) rows_per_batch: usize,
}

/// The file of the base, and the file with all batches one after the other.
#[derive(Clone, Debug)]
pub(crate) struct Sources {
    pub(crate) base: PathBuf,
    pub(crate) batches: PathBuf,
}

impl Sizes {
    /// Writes both files into `folder` unless they exist, and reads them once.
    pub(crate) fn prepare(self, folder: &Path) -> Result<Sources> {
        let Self { base, batches, rows_per_batch } = self;
        let base_path = prepare_base(folder, base)?;
        let name = format!("accounts-{LAYOUT}-{base}-changed-{batches}x{rows_per_batch}.parquet");
        let batches_path = folder.join(name);
        write(&batches_path, Batches { samples: Samples::new(SEED + 1), left: batches, known: base, rows_per_batch })?;
        Ok(Sources { base: base_path, batches: batches_path })
    }

    /// Returns the number of new keys in one batch.
    pub(crate) fn new_per_batch(self) -> usize {
        self.rows_per_batch - existing(self.rows_per_batch)
    }
}

/// Writes only the file of the base unless it exists, and reads it once.
pub(crate) fn prepare_base(folder: &Path, rows: usize) -> Result<PathBuf> {
    let path = folder.join(format!("accounts-{LAYOUT}-{rows}.parquet"));
    write(&path, Base { samples: Samples::new(SEED), begin: 0, end: rows })?;
    Ok(path)
}

fn existing(rows: usize) -> usize {
    rows * EXISTING_PERCENT / 100
}

type Drawn = std::result::Result<RecordBatch, ArrowError>;

fn write(path: &Path, batches: impl Iterator<Item = Drawn> + 'static) -> Result<()> {
    if !path.exists() {
        println!("generating {}", path.display());
        fs::create_dir_all(path.parent().ok_or("a file has a folder")?)?;
        let schema = draw(&Samples::new(SEED), &[])?.schema();
        data::write_file(path, Box::new(RecordBatchIterator::new(batches, schema)))?;
    }
    data::read_file_once(path)
}

struct Base {
    samples: Samples,
    begin: usize,
    end: usize,
}

impl Iterator for Base {
    type Item = Drawn;

    fn next(&mut self) -> Option<Drawn> {
        let (begin, end) = (self.begin, self.end.min(self.begin + BATCH_ROWS));
        self.begin = end;
        (begin < end).then(|| draw(&self.samples, &keys(begin, end)))
    }
}

struct Batches {
    samples: Samples,
    left: usize,
    /// The number of keys so far.
    known: usize,
    rows_per_batch: usize,
}

impl Iterator for Batches {
    type Item = Drawn;

    fn next(&mut self) -> Option<Drawn> {
        self.left = self.left.checked_sub(1)?;
        let old = existing(self.rows_per_batch).min(self.known);
        let mut drawn = BTreeSet::new();
        let mut ids = Vec::with_capacity(self.rows_per_batch);
        while ids.len() < old {
            let id = below(&self.samples, self.known as u64);
            if drawn.insert(id) {
                ids.push(id);
            }
        }
        let end = self.known + self.rows_per_batch - old;
        ids.extend(keys(self.known, end));
        self.known = end;
        Some(draw(&self.samples, &ids))
    }
}

fn keys(begin: usize, end: usize) -> Vec<i64> {
    (begin..end).filter_map(|key| i64::try_from(key).ok()).collect()
}

fn below(samples: &Samples, end: u64) -> i64 {
    i64::try_from(samples.below(end)).unwrap_or(0)
}

/// Draws a row for each key.
fn draw(samples: &Samples, ids: &[i64]) -> Drawn {
    let small = |end| i32::try_from(below(samples, end)).unwrap_or(0);
    let whole = |end| -> ArrayRef { Arc::new(ids.iter().map(|_| below(samples, end)).collect::<Int64Array>()) };
    let one_of = |values: &[&'static str]| -> ArrayRef {
        Arc::new(ids.iter().map(|_| samples.one_of(values).copied()).collect::<StringArray>())
    };
    let moments = ids.iter().map(|_| START_US + below(samples, 31_536_000) * 1_000_000);
    let columns: [(&str, ArrayRef); 8] = [
        (KEY, Arc::new(Int64Array::from(ids.to_vec()))),
        ("owner", Arc::new(ids.iter().map(|_| Some(small(500_000))).collect::<Int32Array>())),
        ("visits", whole(100_000)),
        ("balance", Arc::new(ids.iter().map(|_| Some(f64::from(small(1 << 30)) / 100.0)).collect::<Float64Array>())),
        ("country", one_of(&COUNTRIES)),
        ("plan", one_of(&PLANS)),
        ("name", Arc::new(ids.iter().map(|_| Some(format!("account {}", small(900_000)))).collect::<StringArray>())),
        ("changed_at", Arc::new(TimestampMicrosecondArray::from_iter_values(moments))),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, false)))
}

#[cfg(test)]
mod tests {
    use arrow_array::cast::AsArray;
    use arrow_array::types::Int64Type;

    use super::*;

    fn batches() -> Batches {
        Batches { samples: Samples::new(SEED), left: 3, known: 500, rows_per_batch: 100 }
    }

    fn ids(batch: &RecordBatch) -> Vec<i64> {
        batch.column_by_name(KEY).unwrap().as_primitive::<Int64Type>().values().to_vec()
    }

    #[test]
    fn batches_have_four_fifths_of_existing_keys_and_none_twice() {
        let mut known = 500;
        for batch in batches() {
            let ids = ids(&batch.unwrap());
            assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), 100);
            assert_eq!(ids.iter().filter(|id| **id < known).count(), 80);
            known += 20;
            assert_eq!(ids.iter().max(), Some(&(known - 1)));
        }
    }

    #[test]
    fn the_same_rows_come_every_time_in_eight_columns() {
        let (left, right) = (batches().next().unwrap().unwrap(), batches().next().unwrap().unwrap());
        assert_eq!(left, right);
        assert_eq!(left.num_columns(), 8);
    }

    #[test]
    fn base_has_every_key_once_in_order() {
        let base = Base { samples: Samples::new(SEED), begin: 0, end: BATCH_ROWS + 7 };
        let all: Vec<i64> = base.flat_map(|batch| ids(&batch.unwrap())).collect();
        assert_eq!(all, keys(0, BATCH_ROWS + 7));
    }
}
