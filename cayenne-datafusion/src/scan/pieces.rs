//! Decodes a file piece by piece if the memory pool has too little memory for decoding ahead.
//!
//! A piece is a range of bytes of the file, as DataFusion assigns them. Vortex reads the splits whose midpoint is in
//! the range, so every row belongs to exactly one piece. A stream decodes one piece at a time. The streams of one scan
//! take turns if there is not enough memory for all of them.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use arrow_array::RecordBatch;
use arrow_schema::Schema;
use cayenne_format::Error;
use cayenne_storage::{DecodeMemory, split_rows};
use datafusion::datasource::listing::{FileRange, PartitionedFile};
use datafusion::datasource::physical_plan::FileOpener;
use datafusion::error::Result;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};

use crate::error::external;
use crate::scan::scanned::Scanned;

/// Maximum time that a stream waits for memory while no other stream of its scan finishes a piece.
const STANDSTILL_MAX: Duration = Duration::from_secs(30);

/// The memory that one stream of a scan holds.
struct Held {
    memory: DecodeMemory,
    scanned: Arc<Scanned>,
}

impl Drop for Held {
    fn drop(&mut self) {
        let turns = &self.scanned.turns;
        {
            let mut holders = turns.holders.lock();
            self.memory.give_back();
            *holders = holders.saturating_sub(1);
        }
        turns.released.notify_waiters();
    }
}

impl Held {
    fn note(&mut self, batch: &RecordBatch) -> Result<()> {
        self.memory.note(batch).map_err(external)
    }

    fn splits_of_piece(&self) -> u64 {
        self.memory.splits_of_piece()
    }
}

/// A file, or a part of one, to be decoded piece by piece.
pub(crate) struct Pieces {
    pub(crate) opener: Arc<dyn FileOpener>,
    pub(crate) scanned: Arc<Scanned>,
    pub(crate) columns: Arc<Schema>,
    pub(crate) file: PartitionedFile,
    /// Number of rows of the file or part.
    pub(crate) rows: u64,
}

impl Pieces {
    /// Returns the rows as a stream. It takes memory from the pool only when it is first polled.
    pub(crate) fn stream(self) -> BoxStream<'static, Result<RecordBatch>> {
        stream::once(self.begin()).try_flatten().boxed()
    }

    async fn begin(self) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        let held = self.wait_for_room().await?;
        let (begin, _) = self.bytes();
        let reading = Reading { pieces: self, held, at: begin, open: None };
        let rows = stream::try_unfold(reading, |mut reading| async move {
            Ok(reading.next().await?.map(|batch| (batch, reading)))
        });
        Ok(rows.boxed())
    }

    /// Returns the start and the end of the range of bytes to read.
    fn bytes(&self) -> (i64, i64) {
        let size = i64::try_from(self.file.object_meta.size).unwrap_or(i64::MAX);
        self.file.range.as_ref().map_or((0, size), |range| (range.start, range.end))
    }

    async fn open(&self, range: FileRange) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        let mut file = self.file.clone();
        file.range = Some(range);
        let opened = self.opener.open(file)?;
        opened.await.map_err(|error| self.scanned.failure.or(error))
    }

    /// Takes memory for a piece. If there is none, waits until another stream of the scan returns its memory.
    async fn wait_for_room(&self) -> Result<Held> {
        let turns = &self.scanned.turns;
        loop {
            let released = turns.released.notified();
            let pieces = turns.pieces.load(Ordering::Acquire);
            let error = match self.take() {
                Ok(held) => return Ok(held),
                Err((error, 0)) => return Err(external(error)),
                Err((error, _)) => error,
            };
            let waited = tokio::time::timeout(STANDSTILL_MAX, released).await;
            if waited.is_err() && turns.pieces.load(Ordering::Acquire) == pieces {
                return Err(external(error));
            }
        }
    }

    /// Takes memory for a piece. The error comes with the number of streams of the scan that hold memory.
    fn take(&self) -> Result<Held, (Error, usize)> {
        let Self { scanned, columns, rows, .. } = self;
        let consumer = format!("cayenne.scan {}", scanned.table.name());
        let mut holders = scanned.turns.holders.lock();
        let memory = DecodeMemory::take_for_pieces(&scanned.memory, &consumer, columns, *rows, scanned.streams);
        let memory = memory.map_err(|error| (error, *holders))?;
        *holders += 1;
        Ok(Held { memory, scanned: Arc::clone(scanned) })
    }
}

/// A file that is being read piece by piece.
struct Reading {
    pieces: Pieces,
    held: Held,
    /// Where the next piece begins, in bytes.
    at: i64,
    /// The rest of the current piece.
    open: Option<BoxStream<'static, Result<RecordBatch>>>,
}

impl Reading {
    async fn next(&mut self) -> Result<Option<RecordBatch>> {
        loop {
            if let Some(open) = &mut self.open {
                if let Some(batch) = open.next().await {
                    let batch = batch.map_err(|error| self.pieces.scanned.failure.or(error))?;
                    self.held.note(&batch)?;
                    return Ok(Some(batch));
                }
                self.pieces.scanned.turns.pieces.fetch_add(1, Ordering::AcqRel);
            }
            let (begin, end) = self.pieces.bytes();
            if self.at >= end {
                return Ok(None);
            }
            let rows = split_rows(&self.pieces.columns).saturating_mul(self.held.splits_of_piece());
            let piece = FileRange { start: self.at, end: end_of_piece(self.at, (begin, end), self.pieces.rows, rows) };
            self.at = piece.end;
            self.open = Some(self.pieces.open(piece).await?);
        }
    }
}

/// Returns the end of a piece of about `piece_rows` rows that begins at `at`, in a range of bytes with `rows` rows.
fn end_of_piece(at: i64, (begin, end): (i64, i64), rows: u64, piece_rows: u64) -> i64 {
    let bytes = u128::from(end.abs_diff(begin)) * u128::from(piece_rows) / u128::from(rows.max(1));
    at.saturating_add(i64::try_from(bytes.max(1)).unwrap_or(i64::MAX)).min(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pieces_of_a_range_are_the_range() {
        for (begin, end, rows, piece_rows) in
            [(0, 10, 7, 3), (5, 6, 1, 9), (0, i64::MAX, u64::MAX, 1 << 60), (3, 1_003, 0, 5), (0, 9, 1_000_000, 1)]
        {
            let (mut at, mut pieces) = (begin, 0);
            while at < end {
                let next = end_of_piece(at, (begin, end), rows, piece_rows);
                assert!(next > at && next <= end);
                (at, pieces) = (next, pieces + 1);
            }
            assert!(at == end && pieces <= 17, "{pieces} pieces");
        }
    }
}
