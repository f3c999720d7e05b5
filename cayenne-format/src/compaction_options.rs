//! When the data files of a table are compacted.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// When the data files of a table become fewer and larger ones by themselves.
///
/// Values that make no sense are taken for the nearest that does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CompactionOptions {
    /// So many data files of less than a quarter of the target size become one; at least 2. Default 8.
    pub trigger_files: u64,
    /// When so many commits have left data files below the target size, these become one; at least 2. Default 8.
    pub trigger_layers: u64,
    /// When two have, and the older of their files are as old as this, in milliseconds; 0: never for that reason. Default
    /// 300,000.
    pub trigger_layer_age_ms: u64,
    /// One cause starts at most so many passes, one after the other; at least 1. Default 3.
    pub max_levels: u64,
    /// A pass reads and replaces at most so many data files; at least 2. Default 32.
    pub max_files_per_pick: u64,
    /// How often it is looked whether there is something to do, in milliseconds, besides after writes; 0: never. Default
    /// 30,000.
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
    /// The fast profile: for tables that small writes change all the time, such as those fed from a stream of changes.
    /// Scans find fewer files, and more is rewritten.
    pub const FAST: Self = Self {
        trigger_files: 4,
        trigger_layers: 4,
        trigger_layer_age_ms: 60_000,
        max_levels: 3,
        max_files_per_pick: 32,
        background_interval_ms: 10_000,
    };

    /// Returns the age at which two layers become one; zero: never for that reason.
    #[must_use]
    pub fn trigger_layer_age(&self) -> Duration {
        Duration::from_millis(self.trigger_layer_age_ms)
    }
}
