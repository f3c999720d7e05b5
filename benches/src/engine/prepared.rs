//! Rows that are held in memory before the clock starts, split into commits.

use std::fs::File;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use datafusion::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::Result;

/// The rows of later commits. Filled once.
#[derive(Default)]
pub(super) struct Prepared(OnceLock<Arc<[RecordBatch]>>);

impl Prepared {
    /// Reads a Parquet file and returns its schema.
    pub(super) fn fill(&self, source: &Path, rows_per_commit: usize) -> Result<SchemaRef> {
        let commits = read(source, rows_per_commit)?;
        let schema = commits.first().map(RecordBatch::schema).ok_or("the source has no rows")?;
        self.0.set(commits.into()).map_err(|_| "the rows are prepared already")?;
        Ok(schema)
    }

    /// Returns the rows of all commits. Fails if there are fewer than `wanted` commits.
    pub(super) fn commits(&self, wanted: usize) -> Result<Arc<[RecordBatch]>> {
        let commits = self.0.get().ok_or("no rows are prepared")?;
        if commits.len() < wanted {
            return Err(format!("{wanted} commits are asked for and {} are prepared", commits.len()).into());
        }
        Ok(Arc::clone(commits))
    }
}

/// Reads a Parquet file in batches of `rows`. Each batch owns its memory, as newly arrived rows would.
pub(super) fn read(source: &Path, rows: usize) -> Result<Vec<RecordBatch>> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(source)?)?.with_batch_size(rows).build()?;
    Ok(reader.collect::<std::result::Result<_, _>>()?)
}

/// Times each commit or each lookup.
pub(super) struct LapClock {
    begun: Instant,
    pub(super) lap_ms: Vec<f64>,
}

impl LapClock {
    pub(super) fn start(laps: usize) -> Self {
        Self { begun: Instant::now(), lap_ms: Vec::with_capacity(laps) }
    }

    /// Ends one lap and begins the next.
    pub(super) fn lap(&mut self) {
        let now = Instant::now();
        self.lap_ms.push(now.duration_since(self.begun).as_secs_f64() * 1e3);
        self.begun = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events;

    #[test]
    fn commits_have_the_rows_that_were_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let source = events::prepare(folder.path(), 2_500).unwrap();
        let rows: Vec<_> = read(&source, 1_000).unwrap().iter().map(RecordBatch::num_rows).collect();
        assert_eq!(rows, [1_000, 1_000, 500]);
    }

    #[test]
    fn more_commits_than_prepared_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let prepared = Prepared::default();
        assert!(prepared.commits(1).is_err());
        prepared.fill(&events::prepare(folder.path(), 20).unwrap(), 10).unwrap();
        assert_eq!(prepared.commits(2).unwrap().len(), 2);
        assert!(prepared.commits(3).is_err());
    }
}
