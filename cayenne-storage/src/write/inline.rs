//! Encoding few rows as an inline data file: an Arrow IPC stream in a frame.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{ArrowError, DataType, SchemaRef};
use arrow_select::concat::concat_batches;
use bytes::Bytes;
use cayenne_format::{
    BlockChecksums, ContentHash, DataFile, Error, FileId, FileStats, FrameKind, Location, NewDataFile, Result,
    Sequence, TableOptions, seal,
};

use crate::error::from_vortex;
use crate::normalise::normalise;
use crate::storage::Storage;
use crate::task;
use crate::write::encode::Shape;
use crate::write::stats;
use crate::write::wide::{always_wide, wide_columns};

/// The result of encoding few rows.
pub(super) enum Inlined {
    /// There were no rows.
    Nothing,
    /// A data file.
    File(Box<NewDataFile>),
    /// The stored form is longer than the options admit.
    TooLong,
}

impl Storage {
    /// Makes one data file of the rows of all streams, one stream after the other.
    pub(super) fn inline_file(
        &self,
        schema: &SchemaRef,
        options: &TableOptions,
        streams: &[Vec<RecordBatch>],
    ) -> Result<Inlined> {
        let rows = one_batch(schema, options, streams)?;
        if rows.num_rows() == 0 {
            return Ok(Inlined::Nothing);
        }
        let bytes =
            encode(&rows).map_err(|error| Error::internal("rows cannot be kept in the metastore").because(error))?;
        if !options.inline.admits(rows.num_rows() as u64, bytes.len() as u64) {
            return Ok(Inlined::TooLong);
        }
        let file = DataFile {
            id: FileId::draw(self.environment().ids.as_ref()),
            rows: rows.num_rows() as u64,
            bytes: bytes.len() as u64,
            hash: ContentHash::of(&bytes),
            location: Location::Inline(bytes),
            partition: vec![],
            stats: self.stats_of(&rows)?,
            added_at: Sequence::ZERO,
        };
        Ok(Inlined::File(Box::new(NewDataFile { file, blocks: BlockChecksums::NONE })))
    }

    fn stats_of(&self, rows: &RecordBatch) -> Result<FileStats> {
        let session = self.session();
        let schema = rows.schema();
        let computed = catch_unwind(AssertUnwindSafe(|| {
            let always = always_wide(session, &schema);
            let wide: Vec<bool> =
                always.into_iter().zip(wide_columns(rows)).map(|(always, now)| always || now).collect();
            let shape = Shape::new(session, &schema, &wide)?;
            stats::compute(session, shape.to_vortex(session, rows)?)
        }));
        let sets = computed
            .map_err(|payload| task::panicked(payload.as_ref()))?
            .map_err(|error| from_vortex(error, || Error::internal("Vortex could not look through rows")))?;
        Ok(stats::file_stats(&schema, rows.num_rows() as u64, &sets))
    }
}

fn one_batch(schema: &SchemaRef, options: &TableOptions, streams: &[Vec<RecordBatch>]) -> Result<RecordBatch> {
    let normal = streams.iter().flatten().filter(|rows| rows.num_rows() > 0).map(|rows| {
        let incoming = rows.schema();
        normalise(rows.clone(), &incoming, schema, options.unsupported_type_action)
    });
    let normal = normal.collect::<Result<Vec<_>>>()?;
    match <[RecordBatch; 1]>::try_from(normal) {
        Ok([only]) => Ok(only),
        Err(several) => concat_batches(schema, &several)
            .map_err(|error| Error::resource_limit("the rows of a write cannot be put together").because(error)),
    }
}

fn encode(rows: &RecordBatch) -> Result<Bytes, ArrowError> {
    let rows = without_slack(rows)?;
    let mut writer = StreamWriter::try_new(Vec::new(), &rows.schema())?;
    writer.write(&rows)?;
    Ok(seal(FrameKind::InlineRows, &writer.into_inner()?))
}

/// Compacts views: they may point into much larger buffers, which IPC would store as a whole.
fn without_slack(rows: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let compact = |column: &ArrayRef| -> ArrayRef {
        match column.data_type() {
            DataType::Utf8View => Arc::new(column.as_string_view().gc()),
            DataType::BinaryView => Arc::new(column.as_binary_view().gc()),
            _ => Arc::clone(column),
        }
    };
    let columns = rows.columns().iter().map(compact).collect();
    let options = arrow_array::RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    RecordBatch::try_new_with_options(rows.schema(), columns, &options)
}
