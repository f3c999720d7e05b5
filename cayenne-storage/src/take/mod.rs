//! Single rows of data files, by their positions.
//!
//! A Vortex scan splits a file, starts tasks for the splits, and decodes blocks in order to filter them, which costs
//! more than reading one row. Here the caller's task reads each value where it lies. Files stay open, and segments stay
//! parsed, for the next call.

mod column;
mod values;

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::{Field, Fields, SchemaRef};
use cayenne_format::{Error, FileId, Result};
use futures::FutureExt as _;
use moka::sync::Cache;
use vortex::array::arrays::StructArray;
use vortex::array::buffer::BufferHandle;
use vortex::array::dtype::FieldNames;
use vortex::array::validity::Validity;
use vortex::array::{ArrayRef, IntoArray as _, VortexSessionExecute as _};
use vortex::arrow::ArrowSessionExt as _;
use vortex::buffer::Alignment;
use vortex::error::{VortexResult, vortex_err};
use vortex::file::OpenOptionsSessionExt as _;
use vortex::io::VortexReadAt;
use vortex::layout::segments::{SegmentFuture, SegmentId, SegmentSource};
use vortex::session::VortexSession;

use crate::error::into_vortex;
use crate::read::{Origin, declared, in_file};
use crate::reader::{DataFileReader, ReadRequest};
use crate::storage::Storage;
use crate::task;

use self::column::{Column, columns_of};

/// The number of data files that stay open for single rows, each with its footer and an open file of the system.
const OPEN_FILES_MAX: u64 = 256;

/// Data files from which single rows were read recently.
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
    columns: Vec<Column>,
    segments: Arc<Segments>,
    rows: u64,
    /// The types of its columns in the file.
    fields: Fields,
}

/// The segments of a data file, each read on demand: from the segment cache, or from disk, verified.
struct Segments {
    reader: Arc<DataFileReader>,
    places: Vec<(u64, usize, Alignment)>,
}

impl Segments {
    fn place(&self, id: SegmentId) -> VortexResult<(u64, usize, Alignment)> {
        self.places.get(*id as usize).copied().ok_or_else(|| vortex_err!("a file has no segment {id}"))
    }

    /// Returns the array that a segment holds, from the segment cache or made by `read`.
    async fn array(
        &self,
        id: SegmentId,
        read: impl FnOnce(BufferHandle) -> VortexResult<ArrayRef>,
    ) -> VortexResult<ArrayRef> {
        let (offset, length, alignment) = self.place(id)?;
        if let Some(array) = self.reader.cached_array(offset, length) {
            return Ok(array);
        }
        let array = read(self.reader.read_at(offset, length, alignment).await?)?;
        self.reader.cache_array(offset, length, &array);
        Ok(array)
    }
}

impl SegmentSource for Segments {
    fn request(&self, id: SegmentId) -> SegmentFuture {
        match self.place(id) {
            Ok((offset, length, alignment)) => self.reader.read_at(offset, length, alignment),
            Err(error) => async move { Err(error) }.boxed(),
        }
    }
}

impl Storage {
    /// Returns rows of a data file by their positions, which must ascend without repetition, in that order. `columns`
    /// are indexes into `schema`, the stored schema of its table; the result has the columns in that order.
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
        let columns = columns_of(file.footer().layout()).map_err(|error| of.undecodable(error))?;
        let segments = Arc::new(Segments { reader, places });
        let open = Arc::new(OpenFile { columns, segments, rows, fields });
        self.open_files().0.insert(id, Arc::clone(&open));
        Ok(open)
    }
}

/// From this many values on, two tasks read half of the columns each.
const VALUES_FOR_TWO: usize = 256;

impl OpenFile {
    async fn rows_at(
        self: &Arc<Self>,
        session: &VortexSession,
        positions: &[u64],
        columns: &[usize],
        wanted: &SchemaRef,
    ) -> VortexResult<RecordBatch> {
        let is_much = positions.len().saturating_mul(columns.len()) >= VALUES_FOR_TWO;
        let arrays = if is_much {
            self.columns_of_two(session, positions, columns).await?
        } else {
            self.columns_at(session, positions, columns).await?
        };
        let fields: Fields = columns.iter().filter_map(|column| self.fields.get(*column).cloned()).collect();
        let names: FieldNames = fields.iter().map(|field| field.name().as_str()).collect();
        let rows = StructArray::try_new(names, arrays, positions.len(), Validity::NonNullable)?.into_array();
        let in_file = Field::new_struct("", fields, false);
        let rows = session.arrow().execute_arrow(rows, Some(&in_file), &mut session.create_execution_ctx())?;
        Ok(declared(rows.as_struct(), wanted)?)
    }

    /// Returns values of these columns, read by two tasks.
    async fn columns_of_two(
        self: &Arc<Self>,
        session: &VortexSession,
        positions: &[u64],
        columns: &[usize],
    ) -> VortexResult<Vec<ArrayRef>> {
        let positions: Arc<[u64]> = positions.into();
        let (first, second) = columns.split_at(columns.len() / 2);
        // Both are spawned: Tokio lets no other thread steal the last task that a thread has spawned.
        let [first, second] = [first, second].map(|columns| {
            let (open, session, columns) = (Arc::clone(self), session.clone(), columns.to_vec());
            let positions = Arc::clone(&positions);
            task::spawn(async move { open.columns_at(&session, &positions, &columns).await })
        });
        let mut arrays = first.await.map_err(into_vortex)??;
        arrays.extend(second.await.map_err(into_vortex)??);
        Ok(arrays)
    }

    /// Returns values of these columns.
    async fn columns_at(
        &self,
        session: &VortexSession,
        positions: &[u64],
        columns: &[usize],
    ) -> VortexResult<Vec<ArrayRef>> {
        let mut ctx = session.create_execution_ctx();
        let mut arrays = Vec::with_capacity(columns.len());
        for place in columns {
            let column = self.columns.get(*place).ok_or_else(|| vortex_err!("a file has no column {place}"))?;
            let pieces = column.pieces(&self.segments, session, positions).await?;
            arrays.push(values::of_pieces(column.dtype(), &pieces, positions.len(), &mut ctx)?);
        }
        Ok(arrays)
    }
}
