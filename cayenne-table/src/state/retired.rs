//! Files that are no longer part of a table, and are not removed yet.

use cayenne_format::Sequence;

/// The files that are no longer part of a table but still on the disk.
#[derive(Debug, Default)]
pub(crate) struct Retired {
    pub(crate) files: Vec<RetiredFile>,
    /// Whether files were added since the last attempt to remove them.
    pub(crate) has_new: bool,
}

#[derive(Debug)]
pub(crate) struct RetiredFile {
    pub(crate) name: String,
    /// The commit that removed it from the table: only earlier snapshots name it.
    pub(crate) sequence: Sequence,
    /// The length of a data file, in bytes; 0 for a deletion file, whose length only the disk knows.
    pub(crate) bytes: u64,
}

impl Retired {
    pub(crate) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Returns whether there are files that no attempt was made to remove yet.
    pub(crate) fn has_new(&self) -> bool {
        self.has_new
    }

    /// Takes out the files that no snapshot from this one on names.
    pub(crate) fn take_before(&mut self, known_from: Sequence) -> Vec<RetiredFile> {
        let (gone, kept) = std::mem::take(&mut self.files).into_iter().partition(|file| file.sequence <= known_from);
        self.files = kept;
        gone
    }
}
