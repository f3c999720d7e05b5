//! Which stream of a scan may hold memory.

use std::sync::atomic::AtomicU64;

use parking_lot::Mutex;
use tokio::sync::Notify;

/// What the streams of one scan know of each other.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    /// How many streams hold memory.
    pub(crate) holders: Mutex<usize>,
    /// How many pieces were decoded.
    pub(crate) pieces: AtomicU64,
    pub(crate) released: Notify,
}
