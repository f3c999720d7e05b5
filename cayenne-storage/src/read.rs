//! Reading whole data files as batches, and verifying whole data files against their digests.

use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::{Array as _, RecordBatch, RecordBatchOptions, StructArray, new_null_array};
use arrow_schema::{ArrowError, DataType, Field, Fields, Schema, SchemaRef};
use cayenne_format::{DataFile, Error, FileDigest, FileDigester, FileId, Location, Result, TableId};
use futures::{FutureExt as _, Stream, StreamExt as _, future, stream};
use vortex::array::VortexSessionExecute as _;
use vortex::arrow::ArrowSessionExt as _;
use vortex::dtype::DType;
use vortex::error::{VortexError, VortexResult, vortex_err};
use vortex::file::{OpenOptionsSessionExt as _, VortexFile};
use vortex::session::VortexSession;

use crate::decode_memory::{DecodeMemory, SPLITS_AHEAD};
use crate::error::from_vortex;
use crate::fs::ReadFile;
use crate::inline::verify_inline;
use crate::reader::{ReadRequest, open_data_file};
use crate::storage::{Storage, inside};
use crate::task;
use crate::write::{RowStream, file_type, retype, wide_type};

/// The number of bytes that are hashed at once.
const VERIFY_BYTES: usize = 1024 * 1024;

impl Storage {
    /// Reads a whole data file as batches of `schema`, the stored schema of its table, in the order of its rows.
    ///
    /// Batches that are decoded ahead are charged to the memory pool, and so is a returned batch until the next one is
    /// requested.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Corrupt`](cayenne_format::ErrorKind::Corrupt) if a byte is not what was written;
    /// [`ErrorKind::NotFound`](cayenne_format::ErrorKind::NotFound) with the code `missing-data-file`;
    /// [`ErrorKind::ResourceLimit`](cayenne_format::ErrorKind::ResourceLimit) if the pool refuses memory; or an I/O
    /// error. The stream ends with its first error.
    pub async fn read(&self, request: ReadRequest, schema: SchemaRef) -> Result<RowStream> {
        let of = Origin { table: request.table, file: request.file.id };
        if request.file.is_inline() {
            let rows = self.inline_rows(&request.file, &schema).map_err(|error| error.with("table", request.table));
            return Ok(stream::once(future::ready(rows)).boxed());
        }
        let pool = request.memory.clone().unwrap_or_else(|| Arc::clone(self.memory()));
        let open = self.session().open_options().with_file_size(request.file.bytes).open(self.reader(request));
        let file = match AssertUnwindSafe(open).catch_unwind().await {
            Ok(opened) => opened.map_err(|error| of.undecodable(error))?,
            Err(payload) => return Err(of.facts(task::panicked(payload.as_ref()))),
        };
        let mut memory = DecodeMemory::take(&pool, "cayenne.read", &schema, file.row_count())?;
        let batches = scan(self.session(), &file, schema).map_err(|error| of.undecodable(error))?;
        let batches = AssertUnwindSafe(batches).catch_unwind().map(move |batch| match batch {
            Ok(Ok(batch)) => memory.note(&batch).map(|()| batch),
            Ok(Err(error)) => Err(of.undecodable(error)),
            Err(payload) => Err(of.facts(task::panicked(payload.as_ref()))),
        });
        Ok(until_error(batches).boxed())
    }

    /// Returns the number of rows of a data file, from its own footer. The file is refused unless its columns are those
    /// of `schema`.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read); [`ErrorKind::Corrupt`](cayenne_format::ErrorKind::Corrupt) with the code `damaged-file`
    /// also for a file whose columns are not those of `schema`.
    pub async fn count_rows(&self, request: ReadRequest, schema: &SchemaRef) -> Result<u64> {
        let of = Origin { table: request.table, file: request.file.id };
        let foreign = |why: VortexError| {
            let foreign = || of.facts(Error::corrupt("the file is not a data file of this table").code("damaged-file"));
            from_vortex(why, foreign)
        };
        let open = self.session().open_options().with_file_size(request.file.bytes).open(self.reader(request));
        let file = match AssertUnwindSafe(open).catch_unwind().await {
            Ok(opened) => opened.map_err(foreign)?,
            Err(payload) => return Err(of.facts(task::panicked(payload.as_ref()))),
        };
        in_file(self.session(), file.dtype(), schema).map_err(foreign)?;
        Ok(file.row_count())
    }

    /// Checks that a data file exists and has this length, without reading it.
    ///
    /// # Errors
    ///
    /// As [`verify`](Self::verify).
    pub async fn check_length(&self, location: &str, name: &str, bytes: u64) -> Result<()> {
        let (fs, path) = (Arc::clone(self.fs()), self.folder(location)?.join(inside(name)?));
        task::blocking(move || open_data_file(fs.as_ref(), &path, bytes).map(drop)).await?
    }

    /// Verifies the length and the hash of a data file, reading the whole file from disk.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Corrupt`](cayenne_format::ErrorKind::Corrupt) with the code `damaged-file` if it differs from its
    /// record; [`ErrorKind::NotFound`](cayenne_format::ErrorKind::NotFound) with the code `missing-data-file`; or an
    /// I/O error.
    pub async fn verify(&self, location: &str, file: &DataFile) -> Result<()> {
        if let Location::Inline(bytes) = &file.location {
            return verify_inline(file, bytes);
        }
        let path = self.file_path(location, &file.location)?;
        let fs = Arc::clone(self.fs());
        let (bytes, expected) = (file.bytes, file.hash);
        task::blocking(move || {
            let found = digest(open_data_file(fs.as_ref(), &path, bytes)?.as_ref(), bytes)
                .map_err(|error| Error::io("could not read a data file", error).with("file", path.display()))?;
            if found.hash == expected {
                return Ok(());
            }
            Err(Error::corrupt("the checksum of a data file differs from the manifest")
                .code("damaged-file")
                .with("file", path.display())
                .with("expected", expected)
                .with("found", found.hash))
        })
        .await?
    }
}

/// The file that rows come from, for messages.
#[derive(Clone, Copy)]
pub(crate) struct Origin {
    pub(crate) table: TableId,
    pub(crate) file: FileId,
}

impl Origin {
    pub(crate) fn facts(self, error: Error) -> Error {
        error.with("file", self.file).with("table", self.table)
    }

    /// Returns errors of the reader unchanged. Any other error is not caused by damaged bytes, because they are
    /// verified.
    pub(crate) fn undecodable(self, error: VortexError) -> Error {
        from_vortex(error, || self.facts(Error::internal("Vortex could not decode a data file")))
    }
}

/// Decodes all rows of a file, in order.
fn scan(
    session: &VortexSession,
    file: &VortexFile,
    schema: SchemaRef,
) -> VortexResult<impl Stream<Item = VortexResult<RecordBatch>> + Send + 'static> {
    let session = session.clone();
    let in_file = Field::new_struct("", in_file(&session, file.dtype(), &schema)?, false);
    file.scan()?
        .with_concurrency(SPLITS_AHEAD)
        .map(move |rows| {
            let array = session.arrow().execute_arrow(rows, Some(&in_file), &mut session.create_execution_ctx())?;
            Ok(declared(array.as_struct(), &schema)?)
        })
        .into_stream()
}

/// Returns the fields that a file has for the columns of the stored schema: see [`file_schema`](crate::file_schema).
pub(crate) fn in_file(session: &VortexSession, dtype: &DType, stored: &Schema) -> VortexResult<Fields> {
    let found = dtype.as_struct_fields_opt().filter(|found| found.nfields() == stored.fields().len());
    let found = found.ok_or_else(|| vortex_err!("the file has other columns than the table"))?;
    let fields = found.fields().zip(stored.fields()).map(|(found, field)| {
        let ordinary = file_type(field.data_type());
        let is = |kind: &DataType| -> VortexResult<bool> {
            Ok(session.arrow().from_arrow_datatype(kind, found.nullability())? == found)
        };
        let wide = wide_type(&ordinary);
        let data_type = if is(&ordinary)? { ordinary } else { wide };
        if !is(&data_type)? {
            return Err(vortex_err!("the file has a column of another type than the table"));
        }
        Ok(Field::new(field.name(), data_type, field.is_nullable()))
    });
    fields.collect()
}

/// Casts the columns of a file to their declared types.
pub(crate) fn declared(rows: &StructArray, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let columns = rows.columns().iter().zip(schema.fields());
    let columns = columns.map(|(column, field)| match column.data_type() {
        found if found == field.data_type() => Ok(Arc::clone(column)),
        DataType::Null => Ok(new_null_array(field.data_type(), column.len())),
        _ => retype(column, field.data_type()),
    });
    let options = RecordBatchOptions::new().with_row_count(Some(rows.len()));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns.collect::<Result<Vec<_>, _>>()?, &options)
}

/// Ends a stream after its first error.
fn until_error<T>(stream: impl Stream<Item = Result<T>>) -> impl Stream<Item = Result<T>> {
    stream.scan(false, |failed, item| {
        let ended = *failed;
        *failed |= item.is_err();
        future::ready((!ended).then_some(item))
    })
}

fn digest(file: &dyn ReadFile, bytes: u64) -> io::Result<FileDigest> {
    let mut digester = FileDigester::default();
    let mut chunk = vec![0; VERIFY_BYTES];
    let mut offset = 0;
    while offset < bytes {
        let length = usize::try_from(bytes - offset).unwrap_or(usize::MAX).min(VERIFY_BYTES);
        let (now, _) = chunk.split_at_mut(length);
        file.read_at(offset, now)?;
        digester.feed(now);
        offset += length as u64;
    }
    Ok(digester.finish())
}
