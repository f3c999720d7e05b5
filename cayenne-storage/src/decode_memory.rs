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
    rows: u64,
    bytes: usize,
}

impl DecodeMemory {
    /// Takes the share of a stream that decodes `rows` rows of these columns, under the name `consumer`.
    ///
    /// A split has no more of a column than a block, as long as values are of ordinary size;
    /// [`note`](Self::note) takes more where they are not.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ResourceLimit`](cayenne_format::ErrorKind::ResourceLimit) with the code `out-of-memory` if the pool
    /// has less.
    pub fn take(pool: &Arc<dyn MemoryPool>, consumer: &str, columns: &Schema, rows: u64) -> Result<Self> {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let splits = SPLITS_AHEAD * processors + 1;
        let ahead = (columns.fields().len() * splits) as u64 * BLOCK_BYTES;
        let mut memory = Self { reservation: MemoryConsumer::new(consumer).register(pool), splits, rows, bytes: 0 };
        memory.expect(ahead.min(rows.saturating_mul(row_bytes(columns))))?;
        Ok(memory)
    }

    /// Takes more if a split turns out to be larger than those before.
    ///
    /// # Errors
    ///
    /// As [`take`](Self::take).
    pub fn note(&mut self, split: &RecordBatch) -> Result<()> {
        // Splits are of about as many rows each; a file of few has fewer than are decoded ahead.
        let splits = self.rows.div_ceil(split.num_rows().max(1) as u64).clamp(1, self.splits as u64);
        self.expect(batch_bytes(split).saturating_mul(splits))
    }

    fn expect(&mut self, bytes: u64) -> Result<()> {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        if bytes <= self.bytes {
            return Ok(());
        }
        self.reservation.try_resize(bytes).map_err(|error| {
            Error::resource_limit("the memory pool has no room for reading a file")
                .code("out-of-memory")
                .with("bytes", bytes)
                .help("raise the memory limit, or read fewer columns at once")
                .because(error)
        })?;
        self.bytes = bytes;
        Ok(())
    }
}

/// Returns about how many bytes a row of these columns takes once decoded.
#[must_use]
pub fn row_bytes(columns: &Schema) -> u64 {
    const TEXT_BYTES: usize = 24;
    columns.fields().iter().map(|field| field.data_type().primitive_width().unwrap_or(TEXT_BYTES) as u64).sum()
}
