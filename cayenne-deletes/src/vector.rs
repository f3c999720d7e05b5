//! Deletion vectors: which rows of one data file are hidden.

use std::fmt;

use bytes::Bytes;
use cayenne_format::{Error, FrameKind, Result, open, seal};
use roaring::RoaringTreemap;

/// Positions of rows of one data file that are hidden. A position is the place of a row in its file, from 0.
#[derive(Clone, Default, PartialEq)]
pub struct DeletionVector(RoaringTreemap);

impl DeletionVector {
    /// Returns the number of positions.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.0.len()
    }

    /// Says whether it hides nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Says whether the row at `position` is hidden.
    #[must_use]
    pub fn hides(&self, position: u64) -> bool {
        self.0.contains(position)
    }

    /// Hides the row at `position`, and says whether it was visible before.
    pub fn hide(&mut self, position: u64) -> bool {
        self.0.insert(position)
    }

    /// Returns the positions, smallest first.
    pub fn positions(&self) -> impl Iterator<Item = u64> {
        self.0.iter()
    }

    /// Hides what `other` hides too.
    pub fn add(&mut self, other: &Self) {
        self.0 |= &other.0;
    }

    /// Returns the positions that `other` does not have.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        Self(&self.0 - &other.0)
    }

    /// Returns the positions as a bitmap, as a Vortex scan takes them.
    #[must_use]
    pub fn as_treemap(&self) -> &RoaringTreemap {
        &self.0
    }

    /// Returns the stored form: the 64-bit portable serialisation of Roaring, in a frame.
    ///
    /// # Panics
    ///
    /// If it is empty: what hides nothing is not stored.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        assert!(!self.is_empty(), "an empty deletion vector is never stored");
        let mut payload = Vec::with_capacity(self.0.serialized_size());
        // Writing to a Vec cannot fail.
        let _infallible = self.0.serialize_into(&mut payload);
        seal(FrameKind::DeletionVector, &payload)
    }

    /// Reads the stored form.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Corrupt`](cayenne_format::ErrorKind::Corrupt) if a byte is not what was written.
    pub fn decode(bytes: &Bytes) -> Result<Self> {
        let payload = open(FrameKind::DeletionVector, bytes)?;
        let damaged = || Error::corrupt("a deletion vector cannot be read").code("damaged-deletion");
        let positions = RoaringTreemap::deserialize_from(payload.as_ref()).map_err(|error| damaged().because(error))?;
        if positions.is_empty() {
            return Err(damaged());
        }
        Ok(Self(positions))
    }
}

impl FromIterator<u64> for DeletionVector {
    fn from_iter<T: IntoIterator<Item = u64>>(positions: T) -> Self {
        Self(positions.into_iter().collect())
    }
}

impl fmt::Debug for DeletionVector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DeletionVector({} positions)", self.len())
    }
}
