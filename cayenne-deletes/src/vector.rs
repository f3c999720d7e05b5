//! Deletion vectors: the positions of the hidden rows of one data file.

use std::fmt;
use std::ops::Range;

use bytes::{Buf, Bytes};
use cayenne_format::{Error, FileId, FrameKind, Result, open_version, seal_version};
use roaring::{RoaringBitmap, RoaringTreemap};

use crate::gaps;

const FILE_ID_BYTES: usize = 16;

/// The versions of the stored form: positions as Roaring, and positions as gaps.
const AS_ROARING: u16 = 1;
const AS_GAPS: u16 = 2;

/// The memory of a Roaring container besides its content, in bytes.
const CONTAINER_BYTES: u64 = 32;

/// Positions of hidden rows of one data file. A position is the number of a row in its file, from 0.
#[derive(Clone, Default, PartialEq)]
pub struct DeletionVector(RoaringTreemap);

impl DeletionVector {
    /// Returns the vector of these positions, which may be in any order and repeat. Faster than adding them one by one.
    #[must_use]
    pub fn of(mut positions: Vec<u64>) -> Self {
        positions.sort_unstable();
        positions.dedup();
        let mut all = RoaringTreemap::new();
        let appended = all.append(positions);
        debug_assert!(appended.is_ok(), "sorted positions are in order");
        Self(all)
    }

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

    /// Returns the positions within a range, smallest first.
    pub fn positions_in(&self, range: Range<u64>) -> impl Iterator<Item = u64> {
        let mut positions = self.0.iter();
        positions.advance_to(range.start);
        positions.take_while(move |position| *position < range.end)
    }

    /// Returns how many rows before `position` are hidden.
    #[must_use]
    pub fn hidden_before(&self, position: u64) -> u64 {
        position.checked_sub(1).map_or(0, |last| self.0.rank(last))
    }

    /// Returns the largest position.
    #[must_use]
    pub fn max(&self) -> Option<u64> {
        self.0.max()
    }

    /// Adds all positions of `other`.
    pub fn add(&mut self, other: &Self) {
        self.0 |= &other.0;
    }

    /// Returns the positions that `other` does not have.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        Self(&self.0 - &other.0)
    }

    /// Says whether some row is hidden by both.
    #[must_use]
    pub fn intersects(&self, other: &Self) -> bool {
        !self.0.is_disjoint(&other.0)
    }

    /// Returns the positions as the bitmap that a Vortex scan takes.
    #[must_use]
    pub fn as_treemap(&self) -> &RoaringTreemap {
        &self.0
    }

    /// Returns the approximate memory that it takes, in bytes. The cost is proportional to the number of its
    /// containers, of 65,536 rows each.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let containers = |bitmap: &RoaringBitmap| {
            let found = bitmap.statistics();
            let payload =
                found.n_bytes_array_containers + found.n_bytes_run_containers + found.n_bytes_bitset_containers;
            payload.saturating_add(u64::from(found.n_containers) * CONTAINER_BYTES)
        };
        let bytes = self.0.bitmaps().map(|(_, bitmap)| containers(bitmap)).sum::<u64>();
        usize::try_from(bytes).unwrap_or(usize::MAX).saturating_add(size_of::<Self>())
    }

    /// Returns the stored form, in a frame: the id of the data file, then the positions as the 64-bit portable
    /// serialisation of Roaring or as gaps, whichever is shorter.
    ///
    /// # Panics
    ///
    /// If it is empty: an empty vector is never stored.
    #[must_use]
    pub fn encode(&self, data_file: FileId) -> Bytes {
        assert!(!self.is_empty(), "an empty deletion vector is never stored");
        // Whole ranges of rows are often deleted at once; as runs they take almost no space.
        let mut positions = self.0.clone();
        positions.optimize();
        let roaring_bytes = positions.serialized_size();
        if let Some(gaps) = gaps::encode(&positions, roaring_bytes) {
            let payload = [data_file.as_bytes().as_slice(), &gaps].concat();
            return seal_version(FrameKind::DeletionVector, AS_GAPS, &payload);
        }
        let mut payload = Vec::with_capacity(FILE_ID_BYTES + roaring_bytes);
        payload.extend_from_slice(data_file.as_bytes());
        // Writing to a Vec cannot fail.
        let _infallible = positions.serialize_into(&mut payload);
        seal_version(FrameKind::DeletionVector, AS_ROARING, &payload)
    }

    /// Reads the stored form of the vector of this data file, which has `rows` rows.
    ///
    /// It takes no more memory than a few times the bytes, plus 256 KiB. Forged bytes may take some fifty times their
    /// length: gaps that lie so far apart that Roaring keeps each position in a container of its own.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Corrupt`](cayenne_format::ErrorKind::Corrupt) if a byte is not what was written, or if the vector
    /// belongs to another data file or hides rows that the file does not have.
    pub fn decode(bytes: &Bytes, data_file: FileId, rows: u64) -> Result<Self> {
        let (version, payload) = open_version(FrameKind::DeletionVector, bytes)?;
        let damaged = |why: &'static str| Error::corrupt(why).code("damaged-deletion").with("data file", data_file);
        let Some((named, positions)) = payload.split_first_chunk::<FILE_ID_BYTES>() else {
            return Err(damaged("a deletion vector names no data file"));
        };
        if named != data_file.as_bytes() {
            return Err(damaged("a deletion vector is of another data file").with("found", FileId::from_bytes(*named)));
        }
        let positions = if version == AS_GAPS { gaps::decode(positions) } else { read(positions) };
        let vector = positions.map(Self).ok_or_else(|| damaged("a deletion vector cannot be read"))?;
        match vector.max() {
            None => Err(damaged("a deletion vector hides nothing")),
            Some(last) if last >= rows => Err(damaged("a deletion vector hides rows that its data file does not have")
                .with("position", last)
                .with("rows", rows)),
            Some(_) => Ok(vector),
        }
    }
}

/// Reads positions as Roaring serialises them, or returns `None` if the bytes are invalid.
fn read(mut input: &[u8]) -> Option<RoaringTreemap> {
    let count = input.try_get_u64_le().ok()?;
    let mut bitmaps: Vec<(u32, RoaringBitmap)> = Vec::new();
    for _ in 0..count {
        let high = input.try_get_u32_le().ok()?;
        if bitmaps.last().is_some_and(|(before, _)| *before >= high) || !has_room(input) {
            return None;
        }
        let bitmap = RoaringBitmap::deserialize_from(&mut input).ok().filter(|bitmap| !bitmap.is_empty())?;
        bitmaps.push((high, bitmap));
    }
    input.is_empty().then(|| RoaringTreemap::from_bitmaps(bitmaps))
}

/// Says whether `input` is long enough for the containers that its bitmap claims. Roaring allocates memory for their
/// descriptions before it checks that.
fn has_room(mut input: &[u8]) -> bool {
    const WITHOUT_RUNS: u32 = 12_346;
    let count = match input.try_get_u32_le() {
        Ok(WITHOUT_RUNS) => input.try_get_u32_le().unwrap_or(u32::MAX),
        Ok(with_runs) => (with_runs >> u16::BITS) + 1,
        Err(_) => return false,
    };
    // A container takes at least 4 bytes of description and 2 of content.
    u64::from(count) * 6 <= input.len() as u64
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
