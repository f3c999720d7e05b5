//! Coordinates which streams of a scan hold memory.

use std::sync::atomic::AtomicU64;

use parking_lot::Mutex;
use tokio::sync::Notify;

/// The state by which the streams of one scan take turns.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    /// Number of streams that hold memory.
    pub(crate) holders: Mutex<usize>,
    /// Number of pieces that have been decoded.
    pub(crate) pieces: AtomicU64,
    pub(crate) released: Notify,
}
