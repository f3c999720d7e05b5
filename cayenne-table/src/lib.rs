#![doc = include_str!("../README.md")]

mod define;
mod handle;
mod keys;
mod memory;
mod metric_list;
mod metrics;
mod recovery;
mod slice;
mod state;
mod task;
mod upkeep;
mod view;
mod visibility;
mod write;

pub use define::definition::TableDefinition;
pub use handle::database::{Database, DatabaseBuilder};
pub use handle::settings::{Access, Backend, DatabaseSettings};
pub use handle::table::Table;
pub use memory::{COMPACTION_MEMORY_FRACTION, compaction_memory};
pub use metric_list::{METRICS, MetricMeaning};
pub use recovery::check::{CheckDepth, CheckReport, Problem, Subject};
pub use recovery::rebuild::{RecoveredDatabase, RecoveredFrom, RecoveredTable};
pub use recovery::repair::{Outcome, Repaired};
pub use slice::export::SliceContents;
pub use slice::import::ImportOptions;
pub use state::counters::Metric;
pub use state::pass_log::{Compacted, Decline, PassOutcome, PassRecord};
pub use state::recovered::{Recovery, RejectedCommit};
pub use upkeep::collect::{Collected, Finding};
pub use upkeep::compact::CompactionPlan;
pub use upkeep::expire::Expired;
pub use upkeep::flush::Flushed;
pub use view::amplification::ReadAmplification;
pub use view::current::{PinnedView, View};
pub use view::pin::Pin;
pub use visibility::rows::{RowChange, RowPositions, SeenRows};
pub use write::apply::{ChangeKind, RowChanges};
pub use write::stage::StagedWrite;
pub use write::together::TableWrite;
pub use write::written::Written;

pub use cayenne_compaction::{Finding as CompactionFinding, Pick, Reason};
pub use cayenne_metastore::{SqlView, Synchronous};
