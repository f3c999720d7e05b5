//! A folder for one test, a storage on it, and shorthands for writing and reading.

use std::collections::HashMap;
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use cayenne_format::{DataFile, Environment, InlineOptions, NewDataFile, Result, TableId, TableOptions};
use cayenne_storage::{Fs, LocalFs, ReadCounters, ReadRequest, RowStream, Storage, StorageSettings, WriteRequest};
use datafusion_execution::memory_pool::{GreedyMemoryPool, MemoryPool};
use futures::{StreamExt, TryStreamExt, stream};
use tempfile::TempDir;

pub(crate) const LOCATION: &str = "t-1";
pub(crate) const TABLE: TableId = TableId::from_bytes([7; 16]);

pub(crate) struct Disk {
    pub(crate) dir: TempDir,
    pub(crate) storage: Arc<Storage>,
    pub(crate) pool: Arc<dyn MemoryPool>,
}

/// What a test may replace.
pub(crate) struct With {
    pub(crate) fs: Arc<dyn Fs>,
    pub(crate) environment: Environment,
    pub(crate) memory_bytes: usize,
    pub(crate) settings: StorageSettings,
}

impl Default for With {
    fn default() -> Self {
        Self {
            fs: Arc::new(LocalFs),
            environment: Environment::default(),
            memory_bytes: 1 << 30,
            settings: StorageSettings::default(),
        }
    }
}

impl Disk {
    pub(crate) async fn new() -> Self {
        Self::with(With::default()).await
    }

    pub(crate) async fn with(with: With) -> Self {
        let disk = Self::bare(with);
        disk.storage.create_table_folder(LOCATION, TABLE).await.unwrap();
        disk
    }

    pub(crate) fn bare(with: With) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(with.memory_bytes));
        let root = dir.path().join("data");
        let storage = Storage::new(root, with.fs, with.environment, Arc::clone(&pool), with.settings);
        Self { dir, storage: Arc::new(storage), pool }
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.dir.path().join("data").join(LOCATION)
    }

    pub(crate) fn path(&self, file: &DataFile) -> PathBuf {
        let cayenne_format::Location::Path(name) = &file.location else { panic!("a file is on the disk") };
        self.folder().join(name)
    }

    /// The names of the data files in the folder.
    pub(crate) fn data_files(&self) -> Vec<String> {
        let names = std::fs::read_dir(self.folder()).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
        names.retain(|name| name.ends_with(".vortex"));
        names.sort();
        names
    }

    pub(crate) async fn write(&self, batches: Vec<RecordBatch>) -> Result<Vec<NewDataFile>> {
        let schema = batches[0].schema();
        sendable(self.storage.write(request(schema, vec![rows(batches)]))).await
    }

    /// Writes the batches as data files, and as an inline data file.
    pub(crate) async fn write_both_ways(&self, batches: &[RecordBatch]) -> [Vec<NewDataFile>; 2] {
        let files = self.write(batches.to_vec()).await.unwrap();
        let mut small = request(batches[0].schema(), vec![rows(batches.to_vec())]);
        small.options = TableOptions::default();
        let inline = sendable(self.storage.write(small)).await.unwrap();
        assert!(inline.len() == 1 && inline[0].file.is_inline());
        [files, inline]
    }

    pub(crate) async fn read(&self, new: &NewDataFile, schema: SchemaRef) -> Result<Vec<RecordBatch>> {
        self.read_counting(new, schema, Arc::default()).await
    }

    pub(crate) async fn read_counting(
        &self,
        new: &NewDataFile,
        schema: SchemaRef,
        counters: Arc<ReadCounters>,
    ) -> Result<Vec<RecordBatch>> {
        let request = read_request(new, counters);
        sendable(self.storage.read(request, schema)).await?.try_collect().await
    }

    /// Reads single rows by their positions, with the columns at these places.
    pub(crate) async fn take(
        &self,
        new: &NewDataFile,
        schema: &SchemaRef,
        positions: &[u64],
        columns: &[usize],
    ) -> Result<RecordBatch> {
        let request = read_request(new, Arc::default());
        sendable(self.storage.take(request, schema, positions, columns)).await
    }

    /// Another storage on the same folder, with nothing in its caches.
    pub(crate) fn cold(&self) -> Self {
        let root = self.dir.path().join("data");
        let With { fs, environment, settings, .. } = With::default();
        let storage = Storage::new(root, fs, environment, Arc::clone(&self.pool), settings);
        Self { dir: tempfile::tempdir().unwrap(), storage: Arc::new(storage), pool: Arc::clone(&self.pool) }
    }
}

/// Callers spawn these futures: they must be able to move to another thread.
pub(crate) fn sendable<T>(future: impl Future<Output = T> + Send) -> impl Future<Output = T> + Send {
    future
}

pub(crate) fn rows(batches: Vec<RecordBatch>) -> RowStream {
    stream::iter(batches.into_iter().map(Ok)).boxed()
}

pub(crate) fn request(schema: SchemaRef, rows: Vec<RowStream>) -> WriteRequest {
    WriteRequest { location: LOCATION.into(), schema, options: files_only(), rows, index: None, memory: None }
}

pub(crate) fn options(target_file_size_mb: u64) -> TableOptions {
    TableOptions { target_file_size_mb: NonZeroU64::new(target_file_size_mb).unwrap(), ..files_only() }
}

/// Options under which small writes become files, as large ones do.
pub(crate) fn files_only() -> TableOptions {
    TableOptions { inline: InlineOptions::OFF, ..TableOptions::default() }
}

pub(crate) fn read_request(new: &NewDataFile, counters: Arc<ReadCounters>) -> ReadRequest {
    ReadRequest {
        location: LOCATION.into(),
        table: TABLE,
        file: Arc::new(new.file.clone()),
        blocks: Arc::new(HashMap::from([(new.file.id, new.blocks.clone())])),
        counters,
        memory: None,
        is_last: false,
    }
}

/// Rows of several batches as one.
pub(crate) fn whole(batches: &[RecordBatch]) -> RecordBatch {
    arrow_select::concat::concat_batches(batches[0].schema_ref(), batches).unwrap()
}
