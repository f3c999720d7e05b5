//! The rows of the append workload: a web log with 22 columns. They are the same on every machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array, RecordBatch,
    RecordBatchIterator, StringArray, TimestampMicrosecondArray,
};
use arrow_schema::ArrowError;
use cayenne_metastore::conformance::Samples;

use crate::{Result, data};

/// The version of the generated rows. It is raised when they change, so that an old file is not reused.
const LAYOUT: u32 = 1;
const SEED: u64 = 22;
const BATCH_ROWS: usize = 8_000;

/// The time of the first row, in microseconds: 2026-01-01.
const START_US: i64 = 1_767_225_600_000_000;
const DAY_US: i64 = 86_400_000_000;

const COUNTRIES: [&str; 16] =
    ["AT", "AU", "BR", "CA", "CH", "DE", "ES", "FR", "GB", "IN", "IT", "JP", "KR", "MX", "PL", "US"];
const DEVICES: [&str; 4] = ["desktop", "phone", "tablet", "television"];
const BROWSERS: [&str; 6] = ["Chrome", "Edge", "Firefox", "Opera", "Safari", "Samsung Internet"];
const STATUSES: [i32; 7] = [200, 204, 301, 304, 404, 429, 500];
/// The nullable columns.
const NULLABLE: [&str; 4] = ["referrer", "amount", "tax", "has_consent"];
const WORDS: [&str; 16] = [
    "autumn", "bicycle", "copper", "delivery", "evening", "forest", "garden", "harbour", "island", "journey",
    "kitchen", "lantern", "morning", "northern", "orchard", "paper",
];

/// Writes a file of the first `rows` events into `folder` unless it exists, and returns its path.
pub(crate) fn prepare(folder: &Path, rows: usize) -> Result<PathBuf> {
    let path = folder.join(format!("events-{LAYOUT}-{rows}.parquet"));
    if !path.exists() {
        println!("generating {rows} events in {}", folder.display());
        fs::create_dir_all(folder)?;
        let schema = batch(&Samples::new(SEED), 0, 0)?.schema();
        data::write_file(&path, Box::new(RecordBatchIterator::new(Events::new(rows), schema)))?;
    }
    data::read_file_once(&path)?;
    Ok(path)
}

struct Events {
    samples: Samples,
    begin: usize,
    rows: usize,
}

impl Events {
    fn new(rows: usize) -> Self {
        Self { samples: Samples::new(SEED), begin: 0, rows }
    }
}

impl Iterator for Events {
    type Item = std::result::Result<RecordBatch, ArrowError>;

    fn next(&mut self) -> Option<Self::Item> {
        let (begin, end) = (self.begin, self.rows.min(self.begin + BATCH_ROWS));
        self.begin = end;
        (begin < end).then(|| batch(&self.samples, begin, end))
    }
}

fn batch(samples: &Samples, begin: usize, end: usize) -> std::result::Result<RecordBatch, ArrowError> {
    let draw = Draw { samples, begin: i64::try_from(begin).unwrap_or(0), rows: end - begin };
    let moments: Vec<i64> = draw.ids().map(|id| START_US + id * 40_000 + draw.below(40_000)).collect();
    let days = moments.iter().map(|moment| i32::try_from(moment / DAY_US).unwrap_or(0));
    let columns: [(&str, ArrayRef); 22] = [
        ("event_id", Arc::new(draw.ids().collect::<Int64Array>())),
        ("day", Arc::new(Date32Array::from_iter_values(days))),
        ("happened_at", Arc::new(TimestampMicrosecondArray::from(moments.clone()))),
        ("user_id", draw.whole(200_000)),
        ("session_id", draw.whole(1 << 53)),
        ("tenant", draw.small(40)),
        ("country", draw.one_of(&COUNTRIES)),
        ("device", draw.one_of(&DEVICES)),
        ("browser", draw.one_of(&BROWSERS)),
        ("status", draw.status()),
        (
            "url",
            draw.text(|| Some(format!("https://shop.example/{}/{}/{}", draw.word(), draw.word(), draw.below(20_000)))),
        ),
        ("referrer", draw.text(|| draw.maybe(60, || format!("https://{}.example/{}", draw.word(), draw.below(500))))),
        ("title", draw.text(|| Some(format!("{} {} {} {}", draw.word(), draw.word(), draw.word(), draw.word())))),
        ("duration_ms", draw.real(90_000.0)),
        ("latitude", draw.real(180.0)),
        ("longitude", draw.real(360.0)),
        ("amount", draw.money(30, 1_000_000)?),
        ("tax", draw.money(30, 200_000)?),
        ("bytes_in", draw.whole(4_000)),
        ("bytes_out", draw.whole(900_000)),
        ("is_mobile", draw.flags(100)),
        ("has_consent", draw.flags(85)),
    ];
    let nullable = |(name, column)| (name, column, NULLABLE.contains(&name));
    RecordBatch::try_from_iter_with_nullable(columns.map(nullable))
}

/// Draws the columns of one batch.
struct Draw<'a> {
    samples: &'a Samples,
    begin: i64,
    rows: usize,
}

impl Draw<'_> {
    fn ids(&self) -> impl Iterator<Item = i64> {
        (self.begin..).take(self.rows)
    }

    fn below(&self, end: u64) -> i64 {
        i64::try_from(self.samples.below(end)).unwrap_or(0)
    }

    /// Returns a value in `percent` of the cases, otherwise `None`.
    fn maybe<T>(&self, percent: u64, value: impl FnOnce() -> T) -> Option<T> {
        self.samples.percent(percent).then(value)
    }

    fn word(&self) -> &'static str {
        self.samples.one_of(&WORDS).copied().unwrap_or_default()
    }

    fn whole(&self, end: u64) -> ArrayRef {
        Arc::new(self.ids().map(|_| self.below(end)).collect::<Int64Array>())
    }

    fn small(&self, end: u64) -> ArrayRef {
        Arc::new(self.ids().map(|_| i32::try_from(self.below(end)).unwrap_or(0)).collect::<Int32Array>())
    }

    fn status(&self) -> ArrayRef {
        Arc::new(self.ids().map(|_| self.samples.one_of(&STATUSES).copied()).collect::<Int32Array>())
    }

    fn one_of(&self, values: &[&'static str]) -> ArrayRef {
        self.text(|| self.samples.one_of(values))
    }

    fn text<T: AsRef<str>>(&self, value: impl Fn() -> Option<T>) -> ArrayRef {
        Arc::new(self.ids().map(|_| value()).collect::<StringArray>())
    }

    /// Returns real numbers with three digits after the point, like a measured duration.
    fn real(&self, end: f64) -> ArrayRef {
        let share = || f64::from(u32::try_from(self.below(1 << 31)).unwrap_or(0)) / f64::from(1_u32 << 31);
        Arc::new(self.ids().map(|_| (share() * end * 1e3).round() / 1e3).collect::<Float64Array>())
    }

    fn money(&self, percent: u64, end: u64) -> std::result::Result<ArrayRef, ArrowError> {
        let cents = self.ids().map(|_| self.maybe(percent, || i128::from(self.below(end))));
        Ok(Arc::new(cents.collect::<Decimal128Array>().with_precision_and_scale(12, 2)?))
    }

    fn flags(&self, percent_known: u64) -> ArrayRef {
        Arc::new(self.ids().map(|_| self.maybe(percent_known, || self.samples.percent(40))).collect::<BooleanArray>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(rows: usize) -> RecordBatch {
        Events::new(rows).next().unwrap().unwrap()
    }

    #[test]
    fn the_same_rows_come_every_time_in_22_columns() {
        assert_eq!(first(100), first(100));
        assert_eq!(first(100).num_columns(), 22);
        assert!(first(100).columns().iter().any(|column| column.null_count() > 0));
    }

    #[test]
    fn all_rows_come_once() {
        let ids = Events::new(BATCH_ROWS + 7).map(|batch| batch.unwrap().num_rows());
        assert_eq!(ids.collect::<Vec<_>>(), [BATCH_ROWS, 7]);
    }

    #[test]
    fn file_is_written_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = prepare(folder.path(), 10).unwrap();
        let written = fs::metadata(&path).unwrap().modified().unwrap();
        assert_eq!(prepare(folder.path(), 10).unwrap(), path);
        assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), written);
    }
}
