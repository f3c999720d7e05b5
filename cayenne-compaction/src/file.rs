//! What compaction needs to know about files.

use std::time::Duration;

/// A file, as compaction sees it. `Id` is the caller's name for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File<Id> {
    /// The id of the file. Of two files that are otherwise equal, the one with the smaller id is chosen.
    pub id: Id,
    /// Its length in bytes.
    pub bytes: u64,
    /// The number of its rows, hidden ones included.
    pub rows: u64,
    /// The number of its hidden rows.
    pub hidden_rows: u64,
    /// Its layer: files of one commit have the same number, and later commits have larger ones.
    pub layer: u64,
    /// The age of the file.
    pub age: Duration,
    /// Its partition: only files of the same group are rewritten into one file.
    pub group: usize,
    /// Whether something that belongs to it, such as an index, is missing. A rewrite restores it.
    pub is_incomplete: bool,
}

impl<Id> File<Id> {
    /// Returns the bytes of its visible rows, estimated as if all rows were of one size.
    #[must_use]
    pub fn live_bytes(&self) -> u64 {
        let live = u128::from(self.rows.saturating_sub(self.hidden_rows));
        let bytes = u128::from(self.bytes) * live / u128::from(self.rows.max(1));
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }
}

/// The size class of a file, relative to the target size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// Less than a quarter of the target size.
    Small,
    /// At least a quarter of the target size, but less than the target size.
    Mid,
    /// At least the target size: the file is not rewritten to become larger.
    Settled,
}

/// When files are compacted, and how many at a time.
///
/// A value out of range is replaced by the nearest valid one: see [`clamped`](Self::clamped).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompactionLimits {
    /// The target size of files, in bytes. Default 256 MiB.
    pub target_bytes: u64,
    /// Number of small files that starts a compaction. At least 2; default 8.
    pub small_files: usize,
    /// Number of layers with files below the target size that starts a compaction. At least 2; default 8.
    pub layers: usize,
    /// Age of the oldest of their files at which two such layers start a compaction. Zero disables this trigger;
    /// default 5 minutes.
    pub layer_age: Duration,
    /// Percentage of hidden rows at which a file is rewritten. At least 1; default 30.
    pub hidden_percent: u64,
    /// Maximum number of files in a pass. At least 2; default 32.
    pub files_per_pick: usize,
    /// Maximum number of consecutive passes that one trigger starts. At least 1; default 3.
    pub levels: usize,
}

impl Default for CompactionLimits {
    fn default() -> Self {
        Self {
            target_bytes: 256 * 1024 * 1024,
            small_files: 8,
            layers: 8,
            layer_age: Duration::from_mins(5),
            hidden_percent: 30,
            files_per_pick: 32,
            levels: 3,
        }
    }
}

impl CompactionLimits {
    /// Returns the limits with each value clamped to its valid range.
    #[must_use]
    pub fn clamped(self) -> Self {
        Self {
            target_bytes: self.target_bytes.max(1),
            small_files: self.small_files.max(2),
            layers: self.layers.max(2),
            layer_age: self.layer_age,
            hidden_percent: self.hidden_percent.clamp(1, 100),
            files_per_pick: self.files_per_pick.max(2),
            levels: self.levels.max(1),
        }
    }

    /// Returns the tier of a file of this many bytes.
    #[must_use]
    pub fn tier(&self, bytes: u64) -> Tier {
        if bytes >= self.target_bytes {
            Tier::Settled
        } else if bytes >= self.target_bytes / 4 {
            Tier::Mid
        } else {
            Tier::Small
        }
    }

    /// Says whether enough rows of a file are hidden to rewrite it alone.
    #[must_use]
    pub fn is_mostly_hidden<Id>(&self, file: &File<Id>) -> bool {
        file.hidden_rows > 0
            && u128::from(file.hidden_rows) * 100 >= u128::from(file.rows) * u128::from(self.hidden_percent)
    }
}
