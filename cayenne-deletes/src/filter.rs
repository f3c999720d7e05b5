//! Hiding rows of record batches.

use arrow_array::{BooleanArray, RecordBatch};
use arrow_buffer::BooleanBufferBuilder;
use arrow_select::filter::filter_record_batch;
use cayenne_format::{Error, Result, Sequence};

use crate::{DeletionVector, KeyCodec, RowState, TombstoneSet, is_hidden};

/// Returns the rows of a batch that `vector` does not hide, in order. The first row of the batch is at
/// `first_position`.
///
/// # Errors
///
/// [`ErrorKind::Internal`](cayenne_format::ErrorKind::Internal) if Arrow cannot filter the batch.
pub fn hide_positions(batch: &RecordBatch, first_position: u64, vector: &DeletionVector) -> Result<RecordBatch> {
    let end = first_position.saturating_add(batch.num_rows() as u64);
    let mut hidden = vector.positions_in(first_position..end).peekable();
    if hidden.peek().is_none() {
        return Ok(batch.clone());
    }
    // Most rows of a batch are visible, and testing each of them takes longer than filtering, so only the hidden ones
    // are visited. The result equals what `is_hidden` says of each row.
    let mut visible = BooleanBufferBuilder::new(batch.num_rows());
    visible.append_n(batch.num_rows(), true);
    for row in hidden.filter_map(|position| usize::try_from(position - first_position).ok()) {
        visible.set_bit(row, false);
    }
    filtered(batch, &BooleanArray::new(visible.finish(), None))
}

/// The sequences of the commits that added the rows of a batch.
#[derive(Clone, Copy, Debug)]
pub enum RowSequences<'a> {
    /// One commit added all rows.
    One(Sequence),
    /// Each row has a sequence of its own.
    Each(&'a [Sequence]),
}

/// Returns the rows of a batch that no tombstone hides, in order. The batch has all columns of the table.
///
/// # Errors
///
/// As [`KeyCodec::keys_of`]; [`ErrorKind::Internal`](cayenne_format::ErrorKind::Internal) if the numbers of sequences
/// and rows differ.
pub fn hide_keys(
    batch: &RecordBatch,
    codec: &KeyCodec,
    sequences: RowSequences<'_>,
    tombstones: &TombstoneSet,
) -> Result<RecordBatch> {
    let sequence_of = |row: usize| match sequences {
        RowSequences::One(sequence) => sequence,
        RowSequences::Each(sequences) => sequences.get(row).copied().unwrap_or_default(),
    };
    if let RowSequences::Each(sequences) = sequences
        && sequences.len() != batch.num_rows()
    {
        return Err(Error::internal("rows and their sequences are not as many")
            .with("rows", batch.num_rows())
            .with("sequences", sequences.len()));
    }
    let may_hide = |row| tombstones.latest().is_some_and(|latest| latest.hides(sequence_of(row)));
    if !(0..batch.num_rows()).any(may_hide) {
        return Ok(batch.clone());
    }
    let hiding = tombstones.sequences_of(codec, &codec.arrays(batch)?)?;
    let row = |row| RowState { sequence: sequence_of(row), position: 0 };
    keep(batch, hiding.into_iter().enumerate().map(|(index, tombstone)| !is_hidden(row(index), None, tombstone)))
}

fn keep(batch: &RecordBatch, kept: impl Iterator<Item = bool>) -> Result<RecordBatch> {
    let kept: BooleanArray = kept.map(Some).collect();
    filtered(batch, &kept)
}

fn filtered(batch: &RecordBatch, kept: &BooleanArray) -> Result<RecordBatch> {
    filter_record_batch(batch, kept).map_err(|error| Error::internal("rows cannot be filtered").because(error))
}
