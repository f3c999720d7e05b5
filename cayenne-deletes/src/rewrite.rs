//! The positions of rows after the live rows of some data files were written into new ones, in order.

use std::collections::BTreeMap;

use cayenne_format::{Error, FileId, Result};

use crate::DeletionVector;

/// Maps the rows of one rewrite to their new positions. The rows of the inputs that were not left out, in the order of
/// inputs and positions, are the rows of the outputs, in the order of outputs and positions.
///
/// Rows that were hidden while the rewrite ran are still in its outputs; [`RowMap::carry`] returns their positions.
///
/// # Examples
///
/// ```
/// use cayenne_deletes::{DeletionVector, RowMap};
/// use cayenne_format::FileId;
///
/// let (old, new) = (FileId::from_bytes([1; 16]), FileId::from_bytes([2; 16]));
/// let left_out = DeletionVector::from_iter([0, 2]);
/// let map = RowMap::new(vec![(old, 5, left_out)], vec![(new, 3)])?;
/// assert_eq!(map.place(old, 3), Some((new, 1)));
/// assert_eq!(map.place(old, 2), None);
/// # Ok::<(), cayenne_format::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct RowMap {
    inputs: BTreeMap<FileId, Input>,
    /// Ascending by the first row.
    outputs: Vec<Output>,
}

/// Live rows are numbered consecutively through all inputs, which is also their order through all outputs.
#[derive(Clone, Debug)]
struct Input {
    first: u64,
    rows: u64,
    left_out: DeletionVector,
}

#[derive(Clone, Debug)]
struct Output {
    first: u64,
    file: FileId,
}

impl RowMap {
    /// Takes each input with its number of rows and the rows that were left out, and each output with its number of
    /// rows.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Internal`](cayenne_format::ErrorKind::Internal) if the outputs do not have exactly as many rows as
    /// the inputs kept, or if a file occurs twice.
    pub fn new(inputs: Vec<(FileId, u64, DeletionVector)>, outputs: Vec<(FileId, u64)>) -> Result<Self> {
        let twice = |file: FileId| Error::internal("a file is in a rewrite twice").with("file", file);
        let too_many = || Error::internal("a rewrite has more rows than can be counted");
        let mut map = Self { inputs: BTreeMap::new(), outputs: Vec::new() };
        let mut kept: u64 = 0;
        for (file, rows, left_out) in inputs {
            if left_out.max().is_some_and(|last| last >= rows) {
                return Err(Error::internal("a rewrite left out rows that its input does not have").with("file", file));
            }
            let first = kept;
            kept = kept.checked_add(rows - left_out.len()).ok_or_else(too_many)?;
            if map.inputs.insert(file, Input { first, rows, left_out }).is_some() {
                return Err(twice(file));
            }
        }
        let mut written: u64 = 0;
        for (file, rows) in outputs {
            if map.inputs.contains_key(&file) || map.outputs.iter().any(|output| output.file == file) {
                return Err(twice(file));
            }
            map.outputs.push(Output { first: written, file });
            written = written.checked_add(rows).ok_or_else(too_many)?;
        }
        if kept != written {
            return Err(Error::internal("a rewrite wrote another number of rows than it kept")
                .with("kept", kept)
                .with("written", written));
        }
        Ok(map)
    }

    /// Returns the output file of an input row and its position there, or `None` if the row was left out or does not
    /// exist.
    #[must_use]
    pub fn place(&self, input: FileId, position: u64) -> Option<(FileId, u64)> {
        self.inputs.get(&input).and_then(|input| self.place_in(input, position))
    }

    /// Says whether a file is one of the inputs.
    #[must_use]
    pub fn has_input(&self, file: FileId) -> bool {
        self.inputs.contains_key(&file)
    }

    /// Returns the output positions of the rows at the positions `hidden` of an input. Rows that were left out are in
    /// no output and are dropped.
    #[must_use]
    pub fn carry(&self, input: FileId, hidden: &DeletionVector) -> BTreeMap<FileId, DeletionVector> {
        let mut carried: BTreeMap<FileId, DeletionVector> = BTreeMap::new();
        let Some(input) = self.inputs.get(&input) else {
            return carried;
        };
        for (file, position) in hidden.positions().filter_map(|position| self.place_in(input, position)) {
            carried.entry(file).or_default().hide(position);
        }
        carried
    }

    fn place_in(&self, input: &Input, position: u64) -> Option<(FileId, u64)> {
        if position >= input.rows || input.left_out.hides(position) {
            return None;
        }
        let row = input.first + (position - input.left_out.hidden_before(position));
        // Of several outputs that begin with the same row, all but the last are empty.
        let after = self.outputs.partition_point(|output| output.first <= row);
        let output = self.outputs.get(after.checked_sub(1)?)?;
        Some((output.file, row - output.first))
    }
}
