//! When the data files of a table are compacted.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// When the data files of a table are compacted automatically.
///
/// A value out of range is replaced by the nearest valid one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CompactionOptions {
    /// Number of data files smaller than a quarter of the target size that starts a compaction. At least 2; default 8.
    pub trigger_files: u64,
    /// Number of commits with data files below the target size that starts a compaction. At least 2; default 8.
    pub trigger_layers: u64,
    /// Age, in milliseconds, of the oldest data file below the target size at which two such commits start a
    /// compaction. 0 disables this trigger; default 300,000.
    pub trigger_layer_age_ms: u64,
    /// Maximum number of consecutive passes that one trigger starts. At least 1; default 3.
    pub max_levels: u64,
    /// Maximum number of data files that a pass reads and replaces. At least 2; default 32.
    pub max_files_per_pick: u64,
    /// Interval, in milliseconds, at which a table is examined for compaction, besides after writes. 0 disables it;
    /// default 30,000.
    pub background_interval_ms: u64,
}

impl Default for CompactionOptions {
    fn default() -> Self {
        Self {
            trigger_files: 8,
            trigger_layers: 8,
            trigger_layer_age_ms: 300_000,
            max_levels: 3,
            max_files_per_pick: 32,
            background_interval_ms: 30_000,
        }
    }
}

impl CompactionOptions {
    /// The fast profile, for tables that small writes change all the time, such as those fed from a stream of changes.
    /// Scans read fewer files, at the price of more rewriting.
    pub const FAST: Self = Self {
        trigger_files: 4,
        trigger_layers: 4,
        trigger_layer_age_ms: 60_000,
        max_levels: 3,
        max_files_per_pick: 32,
        background_interval_ms: 10_000,
    };

    /// Returns the age at which two layers are compacted; zero disables this trigger.
    #[must_use]
    pub fn trigger_layer_age(&self) -> Duration {
        Duration::from_millis(self.trigger_layer_age_ms)
    }
}
