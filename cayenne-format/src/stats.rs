//! Column stats: what is known about the values of a data file without reading it.
//!
//! Stats stay encoded until a predicate needs a column: a table may have 100,000 files of 100 columns, and a query
//! needs three of them.

use bytes::{BufMut, Bytes};

use crate::codec::Input;
use crate::frame::{self, FrameKind};
use crate::{Error, Result, Value};

/// A smallest or largest value.
#[derive(Clone, Debug, PartialEq)]
pub struct Bound {
    /// The value. NaN is never a bound; [`ColumnStats::nan_count`] counts it.
    pub value: Value,
    /// Whether a row has exactly this value. If not, the bound is conservative: long text is cut.
    pub exact: bool,
}

/// The stats of one column of one file. `None` always means "unknown", never "none".
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ColumnStats {
    /// A lower bound of all values that are neither null nor NaN.
    pub min: Option<Bound>,
    /// An upper bound of all values that are neither null nor NaN.
    pub max: Option<Bound>,
    /// The number of nulls.
    pub null_count: Option<u64>,
    /// The number of NaN values; 0 for columns whose type has no NaN.
    pub nan_count: Option<u64>,
}

const HAS_MIN: u8 = 1;
const MIN_EXACT: u8 = 2;
const HAS_MAX: u8 = 4;
const MAX_EXACT: u8 = 8;
const HAS_NULLS: u8 = 16;
const HAS_NANS: u8 = 32;

impl ColumnStats {
    fn flags(&self) -> u8 {
        let bound = |bound: &Option<Bound>, has, exact| match bound {
            None => 0,
            Some(bound) if bound.exact => has | exact,
            Some(_) => has,
        };
        bound(&self.min, HAS_MIN, MIN_EXACT)
            | bound(&self.max, HAS_MAX, MAX_EXACT)
            | if self.null_count.is_some() { HAS_NULLS } else { 0 }
            | if self.nan_count.is_some() { HAS_NANS } else { 0 }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.flags());
        for bound in [&self.min, &self.max].into_iter().flatten() {
            bound.value.encode(out);
        }
        for count in [self.null_count, self.nan_count].into_iter().flatten() {
            out.put_u64_le(count);
        }
    }

    #[inline]
    fn decode(bytes: &[u8]) -> Result<Self> {
        let mut input = Input::new(bytes, "column statistics");
        let flags = input.u8()?;
        let mut bound = |has, exact| -> Result<Option<Bound>> {
            if flags & has == 0 {
                return Ok(None);
            }
            Ok(Some(Bound { value: Value::decode(&mut input)?, exact: flags & exact != 0 }))
        };
        let min = bound(HAS_MIN, MIN_EXACT)?;
        let max = bound(HAS_MAX, MAX_EXACT)?;
        let null_count = if flags & HAS_NULLS == 0 { None } else { Some(input.u64()?) };
        let nan_count = if flags & HAS_NANS == 0 { None } else { Some(input.u64()?) };
        input.end()?;
        Ok(Self { min, max, null_count, nan_count })
    }
}

/// The encoded column stats of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileStats {
    sealed: Bytes,
    payload: Bytes,
    columns: u32,
}

impl FileStats {
    /// Encodes the statistics of the columns of a file, in the order of its schema.
    ///
    /// # Panics
    ///
    /// If the encoded stats are longer than 4 GiB.
    #[must_use]
    pub fn new(columns: &[ColumnStats]) -> Self {
        let mut entries = Vec::new();
        let mut ends = Vec::with_capacity(columns.len());
        for column in columns {
            column.encode(&mut entries);
            ends.push(u32::try_from(entries.len()).unwrap_or(u32::MAX));
        }
        assert!(!ends.contains(&u32::MAX), "the statistics of a file are shorter than 4 GiB");
        let count = u32::try_from(columns.len()).unwrap_or(u32::MAX);
        let mut payload = Vec::with_capacity(4 + 4 * ends.len() + entries.len());
        payload.put_u32_le(count);
        for end in &ends {
            payload.put_u32_le(*end);
        }
        payload.put_slice(&entries);
        let sealed = frame::seal(FrameKind::FileStats, &payload);
        Self { sealed, payload: payload.into(), columns: count }
    }

    /// Reads the stored form; the columns stay encoded.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) if a byte is not what was written.
    pub fn from_bytes(sealed: Bytes) -> Result<Self> {
        let payload = frame::open(FrameKind::FileStats, &sealed)?;
        let columns = Input::new(payload.clone(), "column statistics").u32()?;
        Ok(Self { sealed, payload, columns })
    }

    /// Returns the stored form.
    #[must_use]
    pub fn as_bytes(&self) -> &Bytes {
        &self.sealed
    }

    /// Returns the number of columns.
    #[must_use]
    pub fn column_count(&self) -> usize {
        self.columns as usize
    }

    /// Decodes the stats of the column at `index`. All stats are unknown for a column that the file does not have.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Corrupt`](crate::ErrorKind::Corrupt) if the stored form is inconsistent.
    #[inline]
    pub fn column(&self, index: usize) -> Result<ColumnStats> {
        if index >= self.column_count() {
            return Ok(ColumnStats::default());
        }
        let begin = if index == 0 { 0 } else { self.end_of(index - 1)? };
        let end = self.end_of(index)?;
        let entries_at = 4 + 4 * self.column_count();
        // Pruning reads a column's stats in every file of a table, so nothing is copied or reference-counted here.
        let span = entries_at.saturating_add(begin)..entries_at.saturating_add(end);
        ColumnStats::decode(self.payload.get(span).ok_or_else(contradiction)?)
    }

    /// Returns the offset at which the entry of a column ends, counted from the first entry.
    fn end_of(&self, index: usize) -> Result<usize> {
        let at = 4 + 4 * index;
        let end = self.payload.get(at..at + 4).and_then(|bytes| bytes.first_chunk::<4>());
        end.map(|bytes| u32::from_le_bytes(*bytes) as usize).ok_or_else(contradiction)
    }
}

fn contradiction() -> Error {
    Error::corrupt("column statistics contradict themselves")
}
