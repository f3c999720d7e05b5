//! What the streams of one scan share.

use crate::scan::turns::Turns;
use std::sync::Arc;

use cayenne_format::Sequence;
use cayenne_table::{PinnedView, Table};
use datafusion::execution::memory_pool::MemoryPool;

use crate::scan::identity::Identity;
use crate::scan::reader::FirstError;

/// What a scan reads, decided once.
#[derive(Debug)]
pub(crate) struct Scanned {
    pub(crate) table: Arc<Table>,
    pub(crate) sequence: Sequence,
    /// The columns that tell which row is which, if the scan gives them.
    pub(crate) identity: Option<Identity>,
    pub(crate) files_kept: usize,
    pub(crate) files_total: usize,
    pub(crate) failure: FirstError,
    /// What decoding is charged to.
    pub(crate) memory: Arc<dyn MemoryPool>,
    /// How many streams it has at most.
    pub(crate) streams: usize,
    pub(crate) turns: Turns,
    /// Held, not read: it keeps the files of the scan alive.
    pub(crate) _view: Arc<PinnedView>,
}
