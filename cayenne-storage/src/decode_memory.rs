//! What decoding a file may hold in memory, charged to a memory pool.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::Schema;
use cayenne_format::{Error, Result};
use datafusion_execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};

use crate::write::{BLOCK_BYTES, batch_bytes};

/// How many splits of a file are decoded ahead for each processor.
///
/// Fewer leave processors idle while a block is fetched, more only hold memory.
pub const SPLITS_AHEAD: usize = 2;

/// The share of a memory pool that decoding one stream of splits takes: what is decoded ahead, and what was handed out.
///
/// It is given back when this is dropped.
#[derive(Debug)]
pub struct DecodeMemory {
    reservation: MemoryReservation,
    splits: usize,
    split_bytes: usize,
}

impl DecodeMemory {
    /// Takes the share of a stream that decodes `columns` columns, `bytes` in all, under the name `consumer`.
    ///
    /// A split has no more of a column than a block, as long as values are of ordinary size;
    /// [`note`](Self::note) takes more where they are not.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ResourceLimit`](cayenne_format::ErrorKind::ResourceLimit) with the code `out-of-memory` if the pool
    /// has less.
    pub fn take(pool: &Arc<dyn MemoryPool>, consumer: &str, columns: usize, bytes: u64) -> Result<Self> {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let splits = SPLITS_AHEAD * processors + 1;
        let split_bytes = (columns as u64 * BLOCK_BYTES).min(bytes.div_ceil(splits as u64));
        let mut memory = Self { reservation: MemoryConsumer::new(consumer).register(pool), splits, split_bytes: 0 };
        memory.expect(usize::try_from(split_bytes).unwrap_or(usize::MAX))?;
        Ok(memory)
    }

    /// Takes more if a split turns out to be larger than those before.
    ///
    /// # Errors
    ///
    /// As [`take`](Self::take).
    pub fn note(&mut self, split: &RecordBatch) -> Result<()> {
        self.expect(usize::try_from(batch_bytes(split)).unwrap_or(usize::MAX))
    }

    fn expect(&mut self, split_bytes: usize) -> Result<()> {
        if split_bytes <= self.split_bytes {
            return Ok(());
        }
        let bytes = split_bytes.saturating_mul(self.splits);
        self.reservation.try_resize(bytes).map_err(|error| {
            Error::resource_limit("the memory pool has no room for reading a file")
                .code("out-of-memory")
                .with("bytes", bytes)
                .help("raise the memory limit, or read fewer columns at once")
                .because(error)
        })?;
        self.split_bytes = split_bytes;
        Ok(())
    }
}

/// Returns about how many bytes a row of these columns takes once decoded.
#[must_use]
pub fn row_bytes(columns: &Schema) -> u64 {
    const TEXT_BYTES: usize = 24;
    columns.fields().iter().map(|field| field.data_type().primitive_width().unwrap_or(TEXT_BYTES) as u64).sum()
}
