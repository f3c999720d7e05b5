//! What has to be known of files to choose among them.

use std::time::Duration;

/// A file, as far as compaction looks at it. `Id` is whatever its owner calls it by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File<Id> {
    /// The name of the file. Of two files that are equal otherwise, the one with the smaller name is chosen.
    pub id: Id,
    /// Its length in bytes.
    pub bytes: u64,
    /// How many rows it has, those that are hidden too.
    pub rows: u64,
    /// How many of its rows are hidden.
    pub hidden_rows: u64,
    /// Files with the same number came in one commit; a larger number came later.
    pub layer: u64,
    /// How long ago it came.
    pub age: Duration,
    /// Only files of one group become one file: those of one partition.
    pub group: usize,
    /// Whether something that belongs to it is missing, such as an index, and comes anew when it is rewritten.
    pub is_incomplete: bool,
}

impl<Id> File<Id> {
    /// Returns how many bytes its visible rows take, as far as all rows are alike.
    #[must_use]
    pub fn live_bytes(&self) -> u64 {
        let live = u128::from(self.rows.saturating_sub(self.hidden_rows));
        let bytes = u128::from(self.bytes) * live / u128::from(self.rows.max(1));
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }
}

/// How large a file is, compared with the size that files are to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tier {
    /// Less than a quarter of it.
    Small,
    /// Less than it.
    Mid,
    /// As large or larger: it is not rewritten to become larger.
    Settled,
}

/// When files are compacted, and how many at a time.
///
/// Values that make no sense are taken for the nearest that does: see [`clamped`](Self::clamped).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompactionLimits {
    /// The size that files are to have, in bytes. Default 256 MiB.
    pub target_bytes: u64,
    /// So many small files are compacted; at least 2. Default 8.
    pub small_files: usize,
    /// So many layers are compacted; at least 2. Default 8.
    pub layers: usize,
    /// Two layers are compacted when the older one is as old as this; zero: never for that reason. Default 5 minutes.
    pub layer_age: Duration,
    /// A file is rewritten when so many of a hundred of its rows are hidden; at least 1. Default 30.
    pub hidden_percent: u64,
    /// A pass takes so many files; at least 2. Default 32.
    pub files_per_pick: usize,
    /// One cause starts at most so many passes, one after the other; at least 1. Default 3.
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
    /// Returns the limits with each value where it makes sense.
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

    /// Returns the tier of a file with so many bytes.
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

    /// Says whether so much of a file is hidden that it is worth rewriting it alone.
    #[must_use]
    pub fn is_mostly_hidden<Id>(&self, file: &File<Id>) -> bool {
        file.hidden_rows > 0
            && u128::from(file.hidden_rows) * 100 >= u128::from(file.rows) * u128::from(self.hidden_percent)
    }
}
