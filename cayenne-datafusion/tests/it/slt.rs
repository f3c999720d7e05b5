//! Runs the `.slt` files of `tests/slt`.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use cayenne_format::Error;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::util::display::array_value_to_string;
use sqllogictest::{AsyncDB, DBOutput, DefaultColumnType, Runner};

use crate::fixture::{Fixture, fixture};

/// The number of records in all files. A file that is no longer found must not go unnoticed.
const RECORDS_MIN: usize = 40;

struct Session(Fixture);

#[derive(Debug)]
struct Failed(Error);

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl std::error::Error for Failed {}

fn cells(batches: &[RecordBatch]) -> Vec<Vec<String>> {
    let text = |batch: &RecordBatch, column: usize, row: usize| {
        if batch.column(column).is_null(row) {
            return "NULL".to_owned();
        }
        match array_value_to_string(batch.column(column), row).unwrap() {
            text if text.is_empty() => "(empty)".to_owned(),
            text => text,
        }
    };
    let rows = |batch: &RecordBatch| {
        let row = |row| (0..batch.num_columns()).map(|column| text(batch, column, row)).collect();
        (0..batch.num_rows()).map(row).collect::<Vec<Vec<String>>>()
    };
    batches.iter().flat_map(rows).collect()
}

#[async_trait]
impl AsyncDB for Session {
    type Error = Failed;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, text: &str) -> Result<DBOutput<DefaultColumnType>, Failed> {
        let batches = self.0.try_run(text).await.map_err(Failed)?;
        let columns = batches.first().map_or(0, RecordBatch::num_columns);
        if columns == 0 {
            return Ok(DBOutput::StatementComplete(0));
        }
        Ok(DBOutput::Rows { types: vec![DefaultColumnType::Text; columns], rows: cells(&batches) })
    }

    async fn shutdown(&mut self) {
        self.0.database.close().await.unwrap();
    }
}

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/slt");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[tokio::test(flavor = "multi_thread")]
async fn every_file_of_sql_behaves_as_written() {
    let mut records = 0;
    let mut failures = Vec::new();
    for file in files() {
        let text = std::fs::read_to_string(&file).unwrap();
        records += text.lines().filter(|line| line.starts_with("statement ") || line.starts_with("query ")).count();
        let mut runner = Runner::new(|| async { Ok(Session(fixture().await)) });
        for record in sqllogictest::parse_file::<DefaultColumnType>(&file).unwrap() {
            if let Err(error) = runner.run_async(record).await {
                failures.push(error.display(false).to_string());
            }
        }
        runner.shutdown_async().await;
    }
    assert!(failures.is_empty(), "{} records failed:\n{}", failures.len(), failures.join("\n"));
    assert!(records >= RECORDS_MIN, "only {records} records were run");
}
