//! The state that the streams of one scan share.

use crate::scan::turns::Turns;
use std::sync::Arc;

use cayenne_format::Sequence;
use cayenne_table::{PinnedView, Table};
use datafusion::execution::memory_pool::MemoryPool;

use crate::scan::identity::Identity;
use crate::scan::reader::FirstError;

/// What a scan reads, as it was decided when the scan was planned.
#[derive(Debug)]
pub(crate) struct Scanned {
    pub(crate) table: Arc<Table>,
    pub(crate) sequence: Sequence,
    /// The identity columns, if the scan returns them.
    pub(crate) identity: Option<Identity>,
    pub(crate) files_kept: usize,
    pub(crate) files_total: usize,
    pub(crate) failure: FirstError,
    /// The pool to which the memory of decoding is charged.
    pub(crate) memory: Arc<dyn MemoryPool>,
    /// Maximum number of concurrent streams of the scan.
    pub(crate) streams: usize,
    pub(crate) turns: Turns,
    /// Never read: it keeps the files of the scan alive.
    pub(crate) _view: Arc<PinnedView>,
}
