//! Decoding the rows of inline data files, as the metastore returns them.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};

use arrow_array::{Array, RecordBatch, RecordBatchOptions};
use arrow_buffer::Buffer;
use arrow_ipc::reader::StreamDecoder;
use arrow_ipc::root_as_message;
use arrow_schema::{ArrowError, SchemaRef};
use cayenne_format::{ContentHash, DataFile, Error, FileId, FrameKind, Location, Result, open};
use parking_lot::Mutex;

use crate::storage::Storage;

impl Storage {
    /// Returns the rows of an inline data file, as one batch of `schema`, the stored schema of its table.
    ///
    /// The batch shares its memory with the record of the file, and stays cached as long as the record is referenced.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Corrupt`](cayenne_format::ErrorKind::Corrupt) with the code `damaged-file` if the bytes are not
    /// what was written; [`ErrorKind::Unsupported`](cayenne_format::ErrorKind::Unsupported) if a newer Cayenne wrote
    /// them.
    pub fn inline_rows(&self, file: &Arc<DataFile>, schema: &SchemaRef) -> Result<RecordBatch> {
        if let Some(rows) = self.inline().get(file) {
            return Ok(rows);
        }
        let rows = inline_rows(file, schema)?;
        self.inline().insert(file, rows.clone());
        Ok(rows)
    }
}

/// Decoded rows of inline data files.
///
/// A batch takes little memory besides that of the record whose bytes it shows, so it is cached until the record is
/// dropped.
#[derive(Debug, Default)]
pub(crate) struct InlineCache(Mutex<Decoded>);

#[derive(Debug, Default)]
struct Decoded {
    files: HashMap<FileId, (Weak<DataFile>, RecordBatch)>,
    /// At this many files, the cache drops those whose records are gone.
    full: usize,
}

impl InlineCache {
    fn get(&self, file: &Arc<DataFile>) -> Option<RecordBatch> {
        let decoded = self.0.lock();
        let (of, rows) = decoded.files.get(&file.id)?;
        // Another record with the same id, such as a damaged one, has rows of its own.
        std::ptr::eq(of.as_ptr(), Arc::as_ptr(file)).then(|| rows.clone())
    }

    fn insert(&self, file: &Arc<DataFile>, rows: RecordBatch) {
        let mut decoded = self.0.lock();
        if decoded.files.len() >= decoded.full {
            decoded.files.retain(|_, (of, _)| of.strong_count() > 0);
            decoded.full = 2 * decoded.files.len() + 16;
        }
        decoded.files.insert(file.id, (Arc::downgrade(file), rows));
    }
}

/// Decodes the rows of an inline data file.
fn inline_rows(file: &DataFile, schema: &SchemaRef) -> Result<RecordBatch> {
    let facts = |error: Error| error.with("file", file.id);
    let damaged = || Error::corrupt("inline rows do not belong to their table").code("damaged-file");
    let Location::Inline(bytes) = &file.location else {
        return Err(facts(Error::internal("a data file is not inline")));
    };
    let payload = open(FrameKind::InlineRows, bytes).map_err(facts)?;
    let rows = decode(payload.into()).map_err(|error| facts(damaged().because(error)))?;
    let rows = rows.filter(|rows| rows.num_rows() as u64 == file.rows).ok_or_else(|| facts(damaged()))?;
    if !rows.columns().iter().map(Array::data_type).eq(schema.fields().iter().map(|field| field.data_type())) {
        return Err(facts(damaged()));
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    RecordBatch::try_new_with_options(schema.clone(), rows.columns().to_vec(), &options)
        .map_err(|error| facts(damaged().because(error)))
}

/// Checks that the bytes of an inline data file are what was written.
pub(crate) fn verify_inline(file: &DataFile, bytes: &[u8]) -> Result<()> {
    if file.bytes == bytes.len() as u64 && ContentHash::of(bytes) == file.hash {
        return Ok(());
    }
    Err(Error::corrupt("the checksum of inline rows differs from the manifest")
        .code("damaged-file")
        .with("file", file.id))
}

/// Returns the one batch of an IPC stream, or `None` if there are none or several.
///
/// The decoder panics on data that no Arrow library writes, and allocates whatever length a compressed buffer claims.
/// The checksum detects damage, but not a forged value with a recomputed checksum.
fn decode(bytes: Buffer) -> Result<Option<RecordBatch>, ArrowError> {
    if is_compressed(&bytes)? {
        return Err(ArrowError::IpcError("inline rows are never compressed".to_owned()));
    }
    let decoded = catch_unwind(AssertUnwindSafe(|| decode_plain(bytes)));
    decoded.unwrap_or_else(|_| Err(ArrowError::IpcError("the rows have a form that Arrow does not know".to_owned())))
}

/// Says whether a message of an IPC stream has compressed buffers.
fn is_compressed(stream: &[u8]) -> Result<bool, ArrowError> {
    /// Precedes the length of each message.
    const CONTINUES: [u8; 4] = [0xFF; 4];
    let cut_short = || ArrowError::IpcError("the stream ends inside a message".to_owned());
    let mut rest = stream;
    while let Some((head, after)) = rest.split_first_chunk::<4>() {
        let (length, after) = if *head == CONTINUES {
            after.split_first_chunk::<4>().map(|(length, after)| (*length, after)).ok_or_else(cut_short)?
        } else {
            (*head, after)
        };
        let length = usize::try_from(i32::from_le_bytes(length)).map_err(|_| cut_short())?;
        if length == 0 {
            return Ok(false);
        }
        let (message, after) = after.split_at_checked(length).ok_or_else(cut_short)?;
        let message = root_as_message(message).map_err(|error| ArrowError::IpcError(error.to_string()))?;
        let dictionary = message.header_as_dictionary_batch().and_then(|dictionary| dictionary.data());
        let batch = message.header_as_record_batch().or(dictionary);
        if batch.is_some_and(|batch| batch.compression().is_some()) {
            return Ok(true);
        }
        let body = usize::try_from(message.bodyLength()).map_err(|_| cut_short())?;
        rest = after.get(body..).ok_or_else(cut_short)?;
    }
    Ok(false)
}

fn decode_plain(mut bytes: Buffer) -> Result<Option<RecordBatch>, ArrowError> {
    let mut decoder = StreamDecoder::new();
    let first = decoder.decode(&mut bytes)?;
    let more = decoder.decode(&mut bytes)?;
    Ok(first.filter(|_| more.is_none()))
}

#[cfg(test)]
mod tests {
    use cayenne_format::{FileStats, Sequence};

    use super::*;

    fn file(number: u8) -> Arc<DataFile> {
        Arc::new(DataFile {
            id: FileId::from_bytes([number; 16]),
            location: Location::Inline(vec![].into()),
            rows: 0,
            bytes: 0,
            hash: ContentHash::of(&[]),
            partition: vec![],
            stats: FileStats::new(&[]),
            added_at: Sequence::ZERO,
        })
    }

    #[test]
    fn rows_are_kept_as_long_as_their_record() {
        let cache = InlineCache::default();
        let rows = || RecordBatch::new_empty(Arc::new(arrow_schema::Schema::empty()));
        let kept = file(0);
        cache.insert(&kept, rows());
        assert!(cache.get(&kept).is_some());
        assert!(cache.get(&file(0)).is_none(), "another record of the same id has rows of its own");
        for number in 1..200 {
            cache.insert(&file(number), rows());
        }
        assert!(cache.0.lock().files.len() < 40, "records that have gone take their rows along");
        assert!(cache.get(&kept).is_some());
    }
}
