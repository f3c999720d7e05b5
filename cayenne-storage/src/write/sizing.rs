//! Estimating the size that the file being written will have, so that it ends near the target.
//!
//! The encoder holds back many megabytes, so its output says little about its input. The estimate measures the ratio of
//! the compressed bytes to the given bytes, less those that cannot have been compressed yet. It gets better as the file
//! grows, and the next file begins with the ratio of this one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use vortex::layout::BufferedBytesTracker;

/// The bytes of a column that Vortex compresses at once, before compression.
pub(crate) const BLOCK_BYTES: u64 = 1024 * 1024;
/// The bytes of each column that the encoder holds back before they are compressed: a block that is being filled, and
/// one that is being compressed.
const HELD_COLUMN_BYTES: u64 = 2 * BLOCK_BYTES;
/// The bytes that the encoder may hold in memory for each column: the block being filled, those being compressed, and
/// their copies.
const BUSY_COLUMN_BYTES: u64 = 6 * BLOCK_BYTES;
/// Below this many bytes, the output is too small to measure the ratio.
const MEASURED_BYTES: u64 = 4 * 1024 * 1024;
/// The ratio that is assumed for a file of which nothing is known.
const FIRST_RATIO: f64 = 0.5;
/// The measured ratio, relative to that of the previous file: within this range, the ratio of the previous file is
/// used.
const TRUSTED: std::ops::Range<f64> = 0.7..1.4;

/// The ratio of compressed to given bytes in the last file of one write; shared by its streams.
#[derive(Debug, Default)]
pub(crate) struct LastRatio(AtomicU64);

impl LastRatio {
    fn get(&self) -> Option<f64> {
        let ratio = f64::from_bits(self.0.load(Ordering::Relaxed));
        (ratio > 0.0).then_some(ratio)
    }

    /// Notes that `given` bytes became a file of `bytes`.
    pub(crate) fn set(&self, given: u64, bytes: u64) {
        if given > 0 {
            self.0.store((as_f64(bytes) / as_f64(given)).to_bits(), Ordering::Relaxed);
        }
    }
}

/// Follows one file from its first batch to its last.
pub(crate) struct Sizing {
    target_bytes: u64,
    columns: u64,
    last: Option<f64>,
    given: u64,
    written: Arc<AtomicU64>,
    compressed: BufferedBytesTracker,
}

impl Sizing {
    pub(crate) fn new(
        target_bytes: u64,
        columns: usize,
        last: &LastRatio,
        written: Arc<AtomicU64>,
        compressed: BufferedBytesTracker,
    ) -> Self {
        Self { target_bytes, columns: columns as u64, last: last.get(), given: 0, written, compressed }
    }

    /// Notes that the encoder has received `bytes` more.
    pub(crate) fn give(&mut self, bytes: u64) {
        self.given = self.given.saturating_add(bytes);
    }

    /// Returns the number of bytes that the encoder has received.
    pub(crate) fn given(&self) -> u64 {
        self.given
    }

    /// Says whether the file would reach its target if it ended now.
    pub(crate) fn is_full(&self) -> bool {
        as_f64(self.given) * self.ratio() >= as_f64(self.target_bytes)
    }

    /// Returns the memory that the file holds, and would hold with `bytes` more, in bytes.
    pub(crate) fn memory_bytes(&self, bytes: u64) -> u64 {
        let given = self.given.saturating_add(bytes);
        let busy = given.saturating_mul(2).min(self.columns.saturating_mul(BUSY_COLUMN_BYTES).max(2 * bytes));
        let written = as_f64(self.written.load(Ordering::Relaxed));
        let waiting = (as_f64(self.given) * self.ratio().min(1.0) - written).max(0.0);
        busy.saturating_add(from_f64(waiting))
    }

    fn ratio(&self) -> f64 {
        let out = self.written.load(Ordering::Relaxed).saturating_add(self.compressed.buffered_bytes());
        let held = self.columns.saturating_mul(HELD_COLUMN_BYTES);
        if out < MEASURED_BYTES && self.given < held.saturating_mul(8) {
            return self.last.unwrap_or(FIRST_RATIO);
        }
        let compressed = self.given.saturating_sub(held.min(self.given / 2));
        let measured = as_f64(out.max(1)) / as_f64(compressed.max(1));
        // Rows mostly stay similar, and a whole file is a better measure than a part.
        self.last.filter(|last| TRUSTED.contains(&(measured / last))).unwrap_or(measured)
    }
}

#[expect(clippy::cast_precision_loss, reason = "an estimate of a size, not a size")]
fn as_f64(bytes: u64) -> f64 {
    bytes as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an estimate of a size that is not negative"
)]
fn from_f64(bytes: f64) -> u64 {
    bytes as u64
}
