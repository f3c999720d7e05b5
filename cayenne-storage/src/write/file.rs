//! Writing one stream of rows, one data file at a time.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use arrow_array::RecordBatch;
use cayenne_format::{DataFile, Error, FileDigest, FileId, Location, NewDataFile, Result, Sequence, path};
use datafusion_execution::memory_pool::{MemoryConsumer, MemoryReservation};
use futures::channel::mpsc;
use futures::stream::Fuse;
use futures::{FutureExt as _, SinkExt as _, StreamExt as _, future};
use vortex::array::ArrayRef as VortexArray;
use vortex::array::stream::ArrayStreamAdapter;
use vortex::error::VortexResult;
use vortex::file::WriteSummary;
use vortex::session::VortexSession;

use crate::error::from_vortex;
use crate::normalise::normalise;
use crate::task;
use crate::write::encode::{Shape, write_options};
use crate::write::index::{RowIndex, write_index};
use crate::write::sink::{CHUNK_BYTES, FileSink};
use crate::write::sizing::Sizing;
use crate::write::weight::batch_bytes;
use crate::write::wide::wide_columns;
use crate::write::{RowStream, Write, stats};

/// Larger batches are cut, so that neither memory nor the size of files depends on the size of incoming batches.
const PIECE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// The rows of one stream, normalised, in pieces that are small compared with a file.
pub(super) struct Rows {
    write: Arc<Write>,
    stream: Fuse<RowStream>,
    rest: Option<RecordBatch>,
    back: Option<Piece>,
    piece_bytes: u64,
    wide: Vec<bool>,
}

/// Some rows, and the bytes that they take.
pub(super) struct Piece {
    rows: RecordBatch,
    bytes: u64,
}

impl Rows {
    pub(super) fn new(write: &Arc<Write>, stream: RowStream) -> Self {
        let piece_bytes = (write.options.target_file_bytes() / 4).clamp(1, PIECE_BYTES_MAX);
        let wide = write.always_wide.clone();
        Self { write: Arc::clone(write), stream: stream.fuse(), rest: None, back: None, piece_bytes, wide }
    }

    /// Returns the next rows, at least one of them.
    pub(super) async fn next(&mut self) -> Result<Option<Piece>> {
        if let Some(piece) = self.back.take() {
            return Ok(Some(piece));
        }
        loop {
            if let Some(rows) = self.rest.take() {
                return Ok(Some(self.cut(rows)));
            }
            let Some(rows) = self.stream.next().await.transpose()? else { return Ok(None) };
            if rows.num_rows() == 0 {
                continue;
            }
            let Write { schema, options, .. } = self.write.as_ref();
            let incoming = rows.schema();
            self.rest = Some(normalise(rows, &incoming, schema, options.unsupported_type_action)?);
        }
    }

    /// Makes the columns wide whose values in these rows require it, and says whether that made any further column
    /// wide.
    ///
    /// A column stays wide for the rest of the stream: rows that require it seldom come alone.
    fn widen(&mut self, piece: &Piece) -> bool {
        let mut has_changed = false;
        for (is_wide, needed) in self.wide.iter_mut().zip(wide_columns(&piece.rows)) {
            has_changed |= needed && !*is_wide;
            *is_wide |= needed;
        }
        has_changed
    }

    fn cut(&mut self, rows: RecordBatch) -> Piece {
        let bytes = batch_bytes(&rows);
        if bytes <= self.piece_bytes || rows.num_rows() == 1 {
            return Piece { rows, bytes };
        }
        let pieces = usize::try_from(bytes.div_ceil(self.piece_bytes)).unwrap_or(usize::MAX);
        let count = (rows.num_rows() / pieces).max(1);
        self.rest = Some(rows.slice(count, rows.num_rows() - count));
        let rows = rows.slice(0, count);
        Piece { bytes: batch_bytes(&rows), rows }
    }
}

impl Write {
    /// Writes `first` and the rows after it until the file is full.
    pub(super) async fn file(&self, first: Piece, rows: &mut Rows) -> Result<NewDataFile> {
        rows.widen(&first);
        let shape = Shape::new(&self.session, &self.schema, &rows.wide)
            .map_err(|error| Error::internal("the schema of a table cannot be stored by Vortex").because(error))?;
        let id = FileId::draw(self.ids.as_ref());
        let name = path::data_file(id, &[]);
        let mut sink = FileSink::new(Arc::clone(&self.gate), self.folder.join(&name));
        let text = (self.folder.as_path(), self.text.as_ref());
        let options = write_options(&self.session, self.options.compression, &shape, text);
        let sizing = Sizing::new(
            self.options.target_file_bytes(),
            self.schema.fields().len(),
            &self.ratio,
            sink.written(),
            options.buffered_bytes_tracker(),
        );
        // One piece waits while another is encoded: more would only take more memory.
        let (sender, receiver) = mpsc::channel(0);
        let encode = options.write(&mut sink, ArrayStreamAdapter::new(shape.dtype.clone(), receiver));
        let encode = async {
            match AssertUnwindSafe(encode).catch_unwind().await {
                Ok(Ok(summary)) => Ok(summary),
                Ok(Err(error)) => Err(from_vortex(error, || Error::internal("Vortex could not encode rows"))),
                Err(payload) => Err(task::panicked(payload.as_ref())),
            }
        };
        let memory = MemoryConsumer::new("cayenne.write").register(&self.memory);
        let index = self.index.as_ref().map(|index| index.begin());
        let mut feed = Feed { session: &self.session, shape, sizing, rows: 0, memory, sender, index };
        let feed = async {
            feed.run(first, rows).await?;
            // The encoder ends when its channel is closed.
            feed.sender.close_channel();
            Ok((feed.rows, feed.sizing.given(), feed.index.take()))
        };
        let ((given_rows, given_bytes, index), summary) = future::try_join(feed, encode).await?;
        let digest = sink.finish().await?;
        if (summary.row_count(), summary.size()) != (given_rows, digest.bytes) {
            return Err(Error::internal("the encoder has written something else than it was given")
                .with("rows_given", given_rows)
                .with("rows_written", summary.row_count())
                .with("bytes_encoded", summary.size())
                .with("bytes_written", digest.bytes));
        }
        self.ratio.set(given_bytes, digest.bytes);
        let new = self.record(id, name, &summary, digest);
        if let Some(index) = index {
            let (gate, folder, file) = (Arc::clone(&self.gate), self.folder.clone(), new.file.clone());
            task::blocking(move || write_index(&gate, &folder, index, &file)).await??;
        }
        Ok(new)
    }

    fn record(&self, id: FileId, name: String, summary: &WriteSummary, digest: FileDigest) -> NewDataFile {
        let rows = summary.row_count();
        let found = summary.footer().statistics().map(|found| found.stats_sets().as_ref()).unwrap_or_default();
        let file = DataFile {
            id,
            location: Location::Path(name),
            rows,
            bytes: digest.bytes,
            hash: digest.hash,
            partition: vec![],
            stats: stats::file_stats(&self.schema, rows, found),
            added_at: Sequence::ZERO,
        };
        NewDataFile { file, blocks: digest.blocks }
    }
}

/// Feeds rows to the encoder of one file.
struct Feed<'a> {
    session: &'a VortexSession,
    shape: Shape,
    sizing: Sizing,
    rows: u64,
    memory: MemoryReservation,
    sender: mpsc::Sender<VortexResult<VortexArray>>,
    index: Option<Box<dyn RowIndex>>,
}

impl Feed<'_> {
    /// Feeds the encoder until the file is full or cannot have the next rows.
    async fn run(&mut self, first: Piece, rows: &mut Rows) -> Result<()> {
        let mut next = Some(first);
        while let Some(piece) = next {
            if let Some(index) = &mut self.index {
                index.add(&piece.rows)?;
            }
            self.reserve(piece.bytes)?;
            let array = self
                .shape
                .to_vortex(self.session, &piece.rows)
                .map_err(|error| Error::internal("Vortex does not take these rows").because(error))?;
            if self.sender.send(Ok(array)).await.is_err() {
                // The encoder has failed, and reports the reason itself.
                return Ok(());
            }
            self.rows += piece.rows.num_rows() as u64;
            self.sizing.give(piece.bytes);
            if self.sizing.is_full() {
                return Ok(());
            }
            next = rows.next().await?;
            // A file has one schema: rows that require another begin the next file.
            if let Some(piece) = next.take_if(|piece| rows.widen(piece)) {
                rows.back = Some(piece);
            }
        }
        Ok(())
    }

    /// Reserves the memory that the file will hold, before it holds it.
    fn reserve(&self, bytes: u64) -> Result<()> {
        let indexed = self.index.as_ref().map_or(0, |index| index.memory_bytes());
        let bytes = self.sizing.memory_bytes(bytes).saturating_add(indexed);
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX).saturating_add(2 * CHUNK_BYTES);
        self.memory.try_resize(bytes).map_err(|error| {
            Error::resource_limit("the memory pool is too small to write a file; nothing was changed")
                .code("out-of-memory")
                .with("bytes", bytes)
                .help("raise the memory limit, or write with fewer streams at once")
                .because(error)
        })
    }
}
