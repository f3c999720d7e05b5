//! The memory that decoding a file may hold, charged to a memory pool.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{DataType, Schema};
use cayenne_format::{Error, Result};
use datafusion_execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation};

use crate::write::{BLOCK_BYTES, batch_bytes};

/// The number of splits of a file that are decoded ahead for each processor.
///
/// Fewer leave processors idle while a block is fetched; more only take memory.
pub const SPLITS_AHEAD: usize = 2;

/// The memory that decoding one stream of splits reserves in a pool: for the splits decoded ahead, and for the one that
/// was returned.
///
/// It is released when this is dropped.
#[derive(Debug)]
pub struct DecodeMemory {
    reservation: MemoryReservation,
    /// The number of splits that it covers: those decoded ahead, and the one that was returned.
    splits: usize,
    is_in_pieces: bool,
    rows: u64,
    bytes: usize,
}

impl DecodeMemory {
    /// Reserves memory for a stream that decodes `rows` rows of these columns, under the name `consumer`.
    ///
    /// A split has at most one block of a column if values are of ordinary size; [`note`](Self::note) reserves more if
    /// they are not.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ResourceLimit`](cayenne_format::ErrorKind::ResourceLimit) with the code `out-of-memory` if the pool
    /// has less.
    pub fn take(pool: &Arc<dyn MemoryPool>, consumer: &str, columns: &Schema, rows: u64) -> Result<Self> {
        let splits = splits_ahead();
        let reservation = MemoryConsumer::new(consumer).register(pool);
        let mut memory = Self { reservation, splits, is_in_pieces: false, rows, bytes: 0 };
        memory.expect(share(columns, rows))?;
        Ok(memory)
    }

    /// Reserves memory for one of `streams` streams as [`take`](Self::take) does, if all of them together leave three
    /// quarters of the pool to others and there is room; `None` if not. Joins cannot release memory, so they must find
    /// it free.
    #[must_use]
    pub fn take_if_modest(
        pool: &Arc<dyn MemoryPool>,
        consumer: &str,
        columns: &Schema,
        rows: u64,
        streams: usize,
    ) -> Option<Self> {
        let is_modest = share(columns, rows) <= modest(pool, streams);
        if is_modest { Self::take(pool, consumer, columns, rows).ok() } else { None }
    }

    /// Reserves memory for one of `streams` streams that decodes `rows` rows of these columns piece by piece: for the
    /// splits of a piece and the one that was returned, or for a single split if there is no room for more.
    ///
    /// # Errors
    ///
    /// As [`take`](Self::take), if there is no room for a split.
    pub fn take_for_pieces(
        pool: &Arc<dyn MemoryPool>,
        consumer: &str,
        columns: &Schema,
        rows: u64,
        streams: usize,
    ) -> Result<Self> {
        let split_bytes = rows.min(split_rows(columns)).saturating_mul(row_bytes(columns));
        let splits = modest(pool, streams) / split_bytes.max(1);
        let splits = usize::try_from(splits).unwrap_or(usize::MAX).clamp(2, splits_ahead());
        let reservation = MemoryConsumer::new(consumer).register(pool);
        let mut memory = Self { reservation, splits, is_in_pieces: true, rows, bytes: 0 };
        memory.expect_of_split(split_bytes)?;
        Ok(memory)
    }

    /// Releases all of it.
    pub fn give_back(&mut self) {
        self.reservation.free();
        self.bytes = 0;
    }

    /// Returns the maximum number of splits in the next piece.
    #[must_use]
    pub fn splits_of_piece(&self) -> u64 {
        self.splits.saturating_sub(1).max(1) as u64
    }

    /// Reserves memory for splits of this many bytes each; for fewer splits if there is no room for all.
    fn expect_of_split(&mut self, bytes: u64) -> Result<()> {
        loop {
            match self.expect(bytes.saturating_mul(self.splits as u64)) {
                Err(_) if self.splits > 1 => self.splits = if self.splits > 2 { 2 } else { 1 },
                expected => return expected,
            }
        }
    }

    /// Reserves more if a split turns out to be larger than those before.
    ///
    /// # Errors
    ///
    /// As [`take`](Self::take).
    pub fn note(&mut self, split: &RecordBatch) -> Result<()> {
        if self.is_in_pieces {
            return self.expect_of_split(batch_bytes(split));
        }
        // All splits have about the same number of rows; a file of few rows has fewer splits than are decoded ahead.
        let splits = self.rows.div_ceil(split.num_rows().max(1) as u64).clamp(1, self.splits as u64);
        self.expect(batch_bytes(split).saturating_mul(splits))
    }

    fn expect(&mut self, bytes: u64) -> Result<()> {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        if bytes <= self.bytes {
            return Ok(());
        }
        self.reservation.try_resize(bytes).map_err(|error| {
            Error::resource_limit("the memory pool is too small to read a file")
                .code("out-of-memory")
                .with("bytes", bytes)
                .help("raise the memory limit, or read fewer columns at once")
                .because(error)
        })?;
        self.bytes = bytes;
        Ok(())
    }
}

fn splits_ahead() -> usize {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    SPLITS_AHEAD * processors + 1
}

/// Returns the number of bytes that a stream of splits decodes ahead.
fn share(columns: &Schema, rows: u64) -> u64 {
    let ahead = (columns.fields().len() * splits_ahead()) as u64 * BLOCK_BYTES;
    ahead.min(rows.saturating_mul(row_bytes(columns)))
}

/// Returns the maximum number of bytes of one stream, so that `streams` of them leave three quarters of a pool to
/// others.
fn modest(pool: &Arc<dyn MemoryPool>, streams: usize) -> u64 {
    match pool.memory_limit() {
        MemoryLimit::Finite(limit) => limit as u64 / 4 / streams.max(1) as u64,
        _ => u64::MAX,
    }
}

/// Returns the approximate number of rows in a split of these columns: a file is split where a block of any column
/// ends.
#[must_use]
pub fn split_rows(columns: &Schema) -> u64 {
    let widest = columns.fields().iter().map(|field| width(field.data_type())).max();
    BLOCK_BYTES / widest.unwrap_or(1).max(1)
}

/// Returns the approximate number of bytes of a decoded row of these columns.
#[must_use]
pub fn row_bytes(columns: &Schema) -> u64 {
    columns.fields().iter().map(|field| width(field.data_type())).sum()
}

fn width(data_type: &DataType) -> u64 {
    const TEXT_BYTES: usize = 24;
    data_type.primitive_width().unwrap_or(TEXT_BYTES) as u64
}
