//! How fast do rows become a durable data file?
//!
//! Rows of TPC-H `lineitem` in memory are encoded, written, digested and flushed through `cayenne-storage`, as one
//! stream and as two. Target: 600,000 rows per second and stream, which Vortex's own writer reaches without digests.

#![expect(clippy::expect_used, reason = "a benchmark that fails has nothing to measure")]

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use arrow_array::{RecordBatch, RecordBatchReader as _};
use arrow_schema::SchemaRef;
use cayenne_format::{Environment, TableOptions, UnsupportedTypeAction, stored_schema};
use cayenne_storage::{LocalFs, RowStream, Storage, StorageSettings, WriteRequest, normalise};
use criterion::{BatchSize, Criterion, Throughput};
use datafusion::execution::memory_pool::UnboundedMemoryPool;
use futures::{StreamExt as _, stream};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tpchgen::generators::LineItemGenerator;
use tpchgen_arrow::LineItemArrow;

/// About 300,000 rows: enough for several row blocks of every column, few enough for a short run.
const SCALE_FACTOR: f64 = 0.05;

fn main() {
    let mut criterion = Criterion::default().sample_size(10).configure_from_args();
    encode(&mut criterion);
    criterion.final_summary();
}

fn encode(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime starts");
    let root = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder on a disk");
    let storage = storage(root.path());
    let (schema, batches) = lineitem();
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let mut group = criterion.benchmark_group("encode");
    group.throughput(Throughput::Elements(rows as u64));
    for streams in [1, 2] {
        group.bench_function(format!("lineitem in {streams} streams"), |bencher| {
            bencher.to_async(&runtime).iter_batched(
                || Target::new(root.path(), &schema, split(&batches, streams)),
                |target| async { black_box(target.write(&storage).await) },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

/// An empty data location, and the rows to write there.
struct Target {
    request: WriteRequest,
    folder: TempDir,
}

impl Target {
    fn new(root: &Path, schema: &SchemaRef, rows: Vec<RowStream>) -> Self {
        let folder = tempfile::tempdir_in(root).expect("a folder for the files");
        let location = folder.path().file_name().and_then(|name| name.to_str()).expect("a plain name").to_owned();
        let request = WriteRequest {
            location,
            schema: Arc::clone(schema),
            options: TableOptions::default(),
            rows,
            index: None,
            memory: None,
        };
        Self { request, folder }
    }

    /// Writes the rows and returns the folder, so that its removal is not measured.
    async fn write(self, storage: &Storage) -> TempDir {
        storage.write(self.request).await.expect("the rows are written");
        self.folder
    }
}

fn storage(root: &Path) -> Storage {
    let memory = Arc::new(UnboundedMemoryPool::default());
    let settings = StorageSettings::default();
    Storage::new(root.to_path_buf(), Arc::new(LocalFs), Environment::default(), memory, settings)
}

fn lineitem() -> (SchemaRef, Vec<RecordBatch>) {
    let action = UnsupportedTypeAction::default();
    let reader = LineItemArrow::new(LineItemGenerator::new(SCALE_FACTOR, 1, 1)).with_batch_size(8_192);
    let declared = reader.schema();
    let stored = stored_schema(&declared, action).expect("TPC-H types are storable");
    let normal = |batch| normalise(batch, &declared, &stored, action).expect("TPC-H rows are storable");
    let batches = reader.map(|batch| normal(batch.expect("rows are generated"))).collect();
    (stored, batches)
}

fn split(batches: &[RecordBatch], streams: usize) -> Vec<RowStream> {
    let share = batches.len().div_ceil(streams);
    batches.chunks(share).map(|share| stream::iter(share.to_vec()).map(Ok).boxed()).collect()
}
