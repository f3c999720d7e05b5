//! Why files are compacted.

use std::fmt;

/// The reasons to compact files. The first one that applies, and has files that are worth rewriting, is acted upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// Many rows of a file are hidden.
    Deletes,
    /// Something that belongs to a file is missing.
    Incomplete,
    /// There are many small files.
    Files,
    /// Two or more files of the middle tier together make a file of the target size.
    MidBytes,
    /// There are many layers with a file below the target size.
    Layers,
    /// There is more than one such layer, and the oldest has existed for long.
    LayerAge,
    /// The caller requested it.
    Manual,
}

impl Reason {
    /// The reasons that apply without a request, in the order in which they are examined.
    pub const OF_THEMSELVES: [Self; 6] =
        [Self::Deletes, Self::Incomplete, Self::Files, Self::MidBytes, Self::Layers, Self::LayerAge];

    /// Returns the word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deletes => "deletes",
            Self::Incomplete => "incomplete",
            Self::Files => "files",
            Self::MidBytes => "mid_bytes",
            Self::Layers => "layers",
            Self::LayerAge => "layer_age",
            Self::Manual => "manual",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
