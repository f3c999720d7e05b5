//! The rows of inline data files on their way back from the metastore.

use arrow_array::{Array, RecordBatch, RecordBatchOptions};
use arrow_buffer::Buffer;
use arrow_ipc::reader::StreamDecoder;
use arrow_schema::{ArrowError, SchemaRef};
use cayenne_format::{ContentHash, DataFile, Error, FrameKind, Location, Result, open};

/// Returns the rows of an inline data file, as one batch of `schema`, the stored schema of its table.
///
/// The batch shares its memory with the record of the file.
///
/// # Errors
///
/// [`ErrorKind::Corrupt`](cayenne_format::ErrorKind::Corrupt) with the code `damaged-file` if the bytes are not what was
/// written; [`ErrorKind::Unsupported`](cayenne_format::ErrorKind::Unsupported) if a newer Cayenne has written them.
pub fn inline_rows(file: &DataFile, schema: &SchemaRef) -> Result<RecordBatch> {
    let facts = |error: Error| error.with("file", file.id);
    let damaged = || Error::corrupt("inline rows are not those of their table").code("damaged-file");
    let Location::Inline(bytes) = &file.location else {
        return Err(facts(Error::internal("a data file is not inline")));
    };
    let payload = open(FrameKind::InlineRows, bytes).map_err(facts)?;
    let rows = decode(payload.into()).map_err(|error| facts(damaged().because(error)))?;
    let rows = rows.filter(|rows| rows.num_rows() as u64 == file.rows).ok_or_else(|| facts(damaged()))?;
    if !rows.columns().iter().map(|column| column.data_type()).eq(schema.fields().iter().map(|field| field.data_type()))
    {
        return Err(facts(damaged()));
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    RecordBatch::try_new_with_options(schema.clone(), rows.columns().to_vec(), &options)
        .map_err(|error| facts(damaged().because(error)))
}

/// Says that the bytes of an inline data file are what was written.
pub(crate) fn verify_inline(file: &DataFile, bytes: &[u8]) -> Result<()> {
    if file.bytes == bytes.len() as u64 && ContentHash::of(bytes) == file.hash {
        return Ok(());
    }
    Err(Error::corrupt("the checksum of inline rows differs from the manifest")
        .code("damaged-file")
        .with("file", file.id))
}

/// Returns the one batch of an IPC stream, or `None` if there are none or several.
fn decode(mut bytes: Buffer) -> Result<Option<RecordBatch>, ArrowError> {
    let mut decoder = StreamDecoder::new();
    let first = decoder.decode(&mut bytes)?;
    let more = decoder.decode(&mut bytes)?;
    Ok(first.filter(|_| more.is_none()))
}
