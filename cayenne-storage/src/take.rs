//! Single rows of data files, by their positions.
//!
//! A scan of Vortex cuts a file into pieces and starts tasks for them, which costs more than reading one row does. Here the
//! columns are asked for the rows directly, where the caller is, and a file stays open for the next time.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::{Array as _, RecordBatch, RecordBatchOptions};
use arrow_schema::{Field, Fields, SchemaRef};
use cayenne_format::{Error, FileId, Result};
use futures::FutureExt as _;
use moka::sync::Cache;
use vortex::array::expr::{BoundExpression, root, select};
use vortex::array::{MaskFuture, VortexSessionExecute as _};
use vortex::arrow::ArrowSessionExt as _;
use vortex::buffer::Alignment;
use vortex::error::{VortexError, VortexResult, vortex_err};
use vortex::file::OpenOptionsSessionExt as _;
use vortex::io::VortexReadAt;
use vortex::layout::LayoutReaderRef;
use vortex::layout::segments::{SegmentFuture, SegmentId, SegmentSource};
use vortex::mask::Mask;
use vortex::session::VortexSession;

use crate::read::{Origin, declared, in_file};
use crate::reader::{DataFileReader, ReadRequest};
use crate::storage::Storage;
use crate::task;

/// So many data files stay open for single rows, each with its footer and an open file of the system.
const OPEN_FILES_MAX: u64 = 256;

/// Data files that single rows were read of lately.
pub(crate) struct OpenFiles(Cache<FileId, Arc<OpenFile>>);

impl OpenFiles {
    pub(crate) fn new() -> Self {
        Self(Cache::builder().name("cayenne.open").max_capacity(OPEN_FILES_MAX).build())
    }

    pub(crate) fn forget(&self, file: FileId) {
        self.0.invalidate(&file);
    }
}

impl fmt::Debug for OpenFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenFiles").finish_non_exhaustive()
    }
}

/// A data file whose footer has been read.
struct OpenFile {
    columns: LayoutReaderRef,
    rows: u64,
    /// The types that its columns have in the file.
    fields: Fields,
}

/// The segments of a data file, each read when it is asked for: from the segment cache, or from the disk, verified.
struct Segments {
    reader: Arc<DataFileReader>,
    places: Vec<(u64, usize, Alignment)>,
}

impl SegmentSource for Segments {
    fn request(&self, id: SegmentId) -> SegmentFuture {
        match self.places.get(*id as usize) {
            Some((offset, length, alignment)) => self.reader.read_at(*offset, *length, *alignment),
            None => async move { Err(vortex_err!("a file has no segment {id}")) }.boxed(),
        }
    }
}

impl Storage {
    /// Returns rows of a data file by their positions, which ascend and do not repeat, in that order. `columns` are places
    /// in `schema`, the stored schema of its table; they come in their order.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read); [`ErrorKind::Internal`](cayenne_format::ErrorKind::Internal) for positions that the file
    /// does not have.
    pub async fn take(
        &self,
        request: ReadRequest,
        schema: &SchemaRef,
        positions: &[u64],
        columns: &[usize],
    ) -> Result<RecordBatch> {
        let of = Origin { table: request.table, file: request.file.id };
        let taken = AssertUnwindSafe(self.take_rows(request, schema, positions, columns)).catch_unwind();
        taken.await.unwrap_or_else(|payload| Err(of.facts(task::panicked(payload.as_ref()))))
    }

    async fn take_rows(
        &self,
        request: ReadRequest,
        schema: &SchemaRef,
        positions: &[u64],
        columns: &[usize],
    ) -> Result<RecordBatch> {
        let of = Origin { table: request.table, file: request.file.id };
        let wanted = schema.project(columns).map_err(|error| Error::internal("no such column").because(error))?;
        let Some(last) = positions.last().copied() else {
            return Ok(RecordBatch::new_empty(Arc::new(wanted)));
        };
        if columns.is_empty() {
            let options = RecordBatchOptions::new().with_row_count(Some(positions.len()));
            return RecordBatch::try_new_with_options(Arc::new(wanted), Vec::new(), &options)
                .map_err(|error| Error::internal("rows without columns cannot be made").because(error));
        }
        let open = self.open_for_rows(request, schema, of).await?;
        if last >= open.rows || !positions.is_sorted_by(|before, after| before < after) {
            return Err(of.facts(Error::internal("rows are asked for that a data file does not have")));
        }
        let rows = open.rows_at(self.session(), positions, columns, &Arc::new(wanted)).await;
        rows.map_err(|error| of.undecodable(error))
    }

    async fn open_for_rows(&self, request: ReadRequest, schema: &SchemaRef, of: Origin) -> Result<Arc<OpenFile>> {
        let id = request.file.id;
        if let Some(open) = self.open_files().0.get(&id) {
            return Ok(open);
        }
        let bytes = request.file.bytes;
        let reader = self.reader(request);
        let opened = Arc::clone(&reader) as Arc<dyn VortexReadAt>;
        let file = self.session().open_options().with_file_size(bytes).open(opened).await;
        let file = file.map_err(|error| of.undecodable(error))?;
        let places = file.footer().segment_map().iter();
        let places = places.map(|place| (place.offset, place.length as usize, place.alignment)).collect();
        let fields = in_file(self.session(), file.dtype(), schema).map_err(|error| of.undecodable(error))?;
        let rows = file.row_count();
        let columns = file.with_segment_source(Arc::new(Segments { reader, places })).layout_reader();
        let columns = columns.map_err(|error| of.undecodable(error))?;
        let open = Arc::new(OpenFile { columns, rows, fields });
        self.open_files().0.insert(id, Arc::clone(&open));
        Ok(open)
    }
}

impl OpenFile {
    async fn rows_at(
        &self,
        session: &VortexSession,
        positions: &[u64],
        columns: &[usize],
        wanted: &SchemaRef,
    ) -> VortexResult<RecordBatch> {
        let fields: Fields = columns.iter().filter_map(|column| self.fields.get(*column).cloned()).collect();
        let range = positions.first().map_or(0, |first| *first)..positions.last().map_or(0, |last| last + 1);
        let mask = mask_of(&range, positions)?;
        let projected = self.projection(&fields)?;
        let rows = self.columns.projection_evaluation(&range, &projected, mask)?.await?;
        let in_file = Field::new_struct("", fields, false);
        let rows = session.arrow().execute_arrow(rows, Some(&in_file), &mut session.create_execution_ctx())?;
        if rows.len() != positions.len() {
            return Err(vortex_err!("{} rows were asked for and {} found", positions.len(), rows.len()));
        }
        Ok(declared(rows.as_struct(), wanted)?)
    }

    fn projection(&self, fields: &Fields) -> VortexResult<BoundExpression> {
        let names = fields.iter().map(|field| field.name().as_str()).collect::<Vec<_>>();
        // All of them, but in another order, are not what the file has.
        let all = if *fields == self.fields { root() } else { select(names, root()) };
        all.bind(self.columns.dtype())
    }
}

/// Says which rows of a range are meant.
fn mask_of(range: &std::ops::Range<u64>, positions: &[u64]) -> VortexResult<MaskFuture> {
    let length = usize::try_from(range.end - range.start).map_err(VortexError::from)?;
    if length == positions.len() {
        return Ok(MaskFuture::new_true(length));
    }
    let places = positions.iter().map(|position| usize::try_from(position - range.start).map_err(VortexError::from));
    Ok(MaskFuture::ready(Mask::from_indices(length, places.collect::<VortexResult<Vec<usize>>>()?)))
}
