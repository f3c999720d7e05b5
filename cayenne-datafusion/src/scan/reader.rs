//! Gives Vortex our reader, which verifies every block, and shows its counters as metrics.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cayenne_format::DataFile;
use cayenne_storage::{DataFileReader, ReadCounters};
use cayenne_table::Table;
use datafusion::common::exec_datafusion_err;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::error::{DataFusionError, Result};
use datafusion::physical_plan::metrics::{Count, ExecutionPlanMetricsSet, MetricBuilder};
use futures::FutureExt;
use futures::future::BoxFuture;
use vortex::array::buffer::BufferHandle;
use vortex::buffer::Alignment;
use vortex::error::VortexResult;
use vortex::io::{CoalesceConfig, VortexReadAt};
use vortex::session::VortexSession;
use vortex_datafusion::reader::VortexReaderFactory;

/// The data file behind a `PartitionedFile`.
#[derive(Clone, Debug)]
pub(crate) struct ScannedFile(pub(crate) Arc<DataFile>);

/// The first error of a scan, in the form it had before Vortex and DataFusion turned it into text.
#[derive(Clone, Debug, Default)]
pub(crate) struct FirstError(Arc<ReadCounters>);

impl FirstError {
    /// Returns the first error of the readers, or `other` if there is none.
    pub(crate) fn or(&self, other: DataFusionError) -> DataFusionError {
        self.0.failure().map_or(other, crate::error::external)
    }
}

/// Creates the readers of one scan.
#[derive(Clone, Debug)]
pub(crate) struct Readers {
    table: Arc<Table>,
    counts: Arc<ReadCounts>,
}

impl Readers {
    pub(crate) fn new(table: Arc<Table>, metrics: &ExecutionPlanMetricsSet, failure: &FirstError) -> Self {
        Self { table, counts: Arc::new(ReadCounts::new(metrics, Arc::clone(&failure.0))) }
    }
}

impl VortexReaderFactory for Readers {
    fn create_reader(&self, file: &PartitionedFile, _: &VortexSession) -> Result<Arc<dyn VortexReadAt>> {
        let scanned = file
            .extension::<ScannedFile>()
            .ok_or_else(|| exec_datafusion_err!("file {} does not come from a Cayenne table", file.path()))?;
        Ok(Arc::new(CountedReader {
            inner: self.table.reader(&scanned.0, &self.counts.counters),
            counts: Arc::clone(&self.counts),
        }))
    }
}

/// The counters of one scan, and the metrics that show them.
#[derive(Debug)]
struct ReadCounts {
    counters: Arc<ReadCounters>,
    shown: [Shown; 4],
}

/// A metric that shows the value of a counter.
#[derive(Debug)]
struct Shown {
    metric: Count,
    seen: AtomicU64,
}

impl Shown {
    fn follow(&self, now: u64) {
        let before = self.seen.fetch_max(now, Ordering::AcqRel);
        self.metric.add(usize::try_from(now.saturating_sub(before)).unwrap_or(usize::MAX));
    }
}

impl ReadCounts {
    fn new(metrics: &ExecutionPlanMetricsSet, counters: Arc<ReadCounters>) -> Self {
        let shown = |name| Shown { metric: MetricBuilder::new(metrics).global_counter(name), seen: AtomicU64::new(0) };
        Self {
            counters,
            shown: [
                shown("segment_cache_hits"),
                shown("segment_cache_misses"),
                shown("bytes_requested"),
                shown("bytes_scanned"),
            ],
        }
    }

    fn show(&self) {
        let counters = &self.counters;
        let now = [&counters.cache_hits, &counters.cache_misses, &counters.bytes_requested, &counters.bytes_read];
        for (shown, now) in self.shown.iter().zip(now) {
            shown.follow(now.load(Ordering::Acquire));
        }
    }
}

struct CountedReader {
    inner: Arc<DataFileReader>,
    counts: Arc<ReadCounts>,
}

impl fmt::Debug for CountedReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CountedReader").finish_non_exhaustive()
    }
}

impl VortexReadAt for CountedReader {
    fn uri(&self) -> Option<&Arc<str>> {
        self.inner.uri()
    }

    fn coalesce_config(&self) -> Option<CoalesceConfig> {
        self.inner.coalesce_config()
    }

    fn concurrency(&self) -> usize {
        self.inner.concurrency()
    }

    fn size(&self) -> BoxFuture<'static, VortexResult<u64>> {
        self.inner.size()
    }

    fn read_at(
        &self,
        offset: u64,
        length: usize,
        alignment: Alignment,
    ) -> BoxFuture<'static, VortexResult<BufferHandle>> {
        let read = self.inner.read_at(offset, length, alignment);
        let counts = Arc::clone(&self.counts);
        async move {
            let bytes = read.await;
            counts.show();
            bytes
        }
        .boxed()
    }
}
