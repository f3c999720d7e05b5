//! Read amplification: how much a scan has to open.

use cayenne_format::Sequence;

use crate::View;

/// What a scan of a whole table has to open, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadAmplification {
    /// Data files.
    pub files: u64,
    /// Inline data files, which are stored in the metastore.
    pub inline_files: u64,
    /// Deletion files and tombstone files.
    pub deletions: u64,
    /// Layers: the distinct commits that the data files were added by. Inline data files do not count.
    pub layers: u64,
}

impl ReadAmplification {
    /// Returns the number of files that a scan opens: data files, inline data files, and deletion and tombstone files.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.files.saturating_add(self.inline_files).saturating_add(self.deletions)
    }
}

impl View {
    /// Returns how much a scan of all rows has to open.
    #[must_use]
    pub fn read_amplification(&self) -> ReadAmplification {
        let snapshot = self.snapshot();
        let inline_files = snapshot.inline().files;
        let mut layers: Vec<Sequence> =
            self.files().filter(|file| !file.is_inline()).map(|file| file.added_at).collect();
        layers.sort_unstable();
        layers.dedup();
        ReadAmplification {
            files: (snapshot.files().len() as u64).saturating_sub(inline_files),
            inline_files,
            deletions: (snapshot.deletions().len() as u64).saturating_add(snapshot.tombstones().count() as u64),
            layers: layers.len() as u64,
        }
    }
}
