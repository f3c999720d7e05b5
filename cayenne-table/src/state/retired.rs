//! Files that are no longer part of a table, and are not removed yet.

use cayenne_format::Sequence;

/// What is no longer part of a table, and still on the disk.
#[derive(Debug, Default)]
pub(crate) struct Retired {
    pub(crate) files: Vec<RetiredFile>,
    /// Whether any has come since somebody tried to remove them.
    pub(crate) has_new: bool,
}

#[derive(Debug)]
pub(crate) struct RetiredFile {
    pub(crate) name: String,
    /// The commit that took it away: only earlier snapshots name it.
    pub(crate) sequence: Sequence,
    /// As far as known: of a deletion file only the disk knows them.
    pub(crate) bytes: u64,
}

impl Retired {
    pub(crate) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Says whether there is something that nobody has tried to remove yet.
    pub(crate) fn has_new(&self) -> bool {
        self.has_new
    }

    /// Takes out what no snapshot from this one on names.
    pub(crate) fn take_before(&mut self, known_from: Sequence) -> Vec<RetiredFile> {
        let (gone, kept) = std::mem::take(&mut self.files).into_iter().partition(|file| file.sequence <= known_from);
        self.files = kept;
        gone
    }
}
