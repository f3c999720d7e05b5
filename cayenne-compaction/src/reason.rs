//! Why files are compacted.

use std::fmt;

/// What makes files worth compacting. The first that applies is acted upon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// Much of a file is hidden.
    Deletes,
    /// Something that belongs to a file is missing.
    Incomplete,
    /// There are many small files.
    Files,
    /// There are two or more files of middling size that make a large one.
    MidBytes,
    /// There are many layers with a file that is not large.
    Layers,
    /// There is more than one of them, and the oldest has been there for long.
    LayerAge,
    /// Somebody asked for it.
    Manual,
}

impl Reason {
    /// Those that need nobody to ask, in the order in which they are looked at.
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
