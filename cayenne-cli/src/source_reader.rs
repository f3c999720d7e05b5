//! Reads the files of a load through DataFusion, and names the file in every error.

use std::fmt;
use std::num::NonZeroUsize;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{Field, Schema, SchemaRef};
use cayenne_datafusion::{Dialect, FileKind, SourceFile, TextFile, TextOptions, check_outside, error_of, literal_url};
use cayenne_format::{Error, ErrorKind, Result};
use datafusion::catalog::streaming::StreamingTable;
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::error::DataFusionError;
use datafusion::execution::options::ArrowReadOptions;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, cast, ident, lit};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::PartitionStream;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};
use datafusion::prelude::{DataFrame, JsonReadOptions, ParquetReadOptions, SessionContext};
use datafusion::scalar::ScalarValue;
use futures::{StreamExt, TryStreamExt};

use crate::fault::{caught, error_of_panic};
use crate::source_help::with_options;
use crate::source_schema::{FileColumns, merged, named_by_place, reading_schema, refuse_missing_columns};
use crate::sources::Sources;

/// The rows of a load, and notes about its files for the user.
pub(crate) struct Read {
    pub(crate) rows: DataFrame,
    pub(crate) notes: Vec<String>,
}

/// Returns the rows of the files in the schema `table`, or in a schema inferred for a new table.
///
/// At this point only the data needed to determine the columns has been read.
pub(crate) async fn read_sources(
    session: &SessionContext,
    sources: &Sources,
    table: Option<SchemaRef>,
    text: &TextOptions,
) -> Result<Read> {
    let reader = Reader::new(session, sources.kind, text);
    let mut files = Vec::new();
    for file in reader.with_rows(&sources.files)? {
        files.push(reader.look(file, table.as_ref()).await?);
    }
    let notes = notes(sources, &files);
    let columns: Vec<FileColumns<'_>> = files.iter().map(|file| file.columns.clone()).collect();
    let schema = match table {
        Some(schema) => {
            columns.iter().try_for_each(|file| refuse_missing_columns(file, &schema))?;
            nullable(&schema)
        }
        None => merged(sources.kind, &columns)?,
    };
    let mut parts = Vec::new();
    for file in &files {
        parts.extend(reader.parts(file, &schema).await?);
    }
    let partitions = dealt(parts, reader.partitions, &schema);
    let rows = StreamingTable::try_new(schema, partitions).map_err(error_of)?;
    Ok(Read { rows: session.read_table(Arc::new(rows)).map_err(error_of)?, notes })
}

/// Returns notes on the dialects of text files, one note for each dialect.
fn notes(sources: &Sources, files: &[Looked<'_>]) -> Vec<String> {
    let mut groups: Vec<(Dialect, &Path, usize)> = Vec::new();
    for file in files {
        let Some(dialect) = file.text.as_ref().map(TextFile::dialect) else { continue };
        match groups.iter_mut().find(|(known, ..)| *known == dialect) {
            Some((.., others)) => *others += 1,
            None => groups.push((dialect, file.columns.path, 0)),
        }
    }
    let note = |(dialect, path, others): (Dialect, &Path, usize)| {
        let others = if others == 0 { String::new() } else { format!(" and {others} more") };
        format!("{}{others}: {dialect}", sources.name(path))
    };
    groups.into_iter().map(note).collect()
}

/// Makes all columns nullable. The table itself refuses nulls that it does not accept, and names the column.
fn nullable(schema: &Schema) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| field.as_ref().clone().with_nullable(true));
    Arc::new(Schema::new_with_metadata(fields.collect::<Vec<_>>(), schema.metadata().clone()))
}

/// Reads files of one kind, each in as many parts as there are threads.
struct Reader {
    context: SessionContext,
    kind: FileKind,
    text: TextOptions,
    partitions: usize,
}

/// A file, and what was detected in it.
struct Looked<'a> {
    columns: FileColumns<'a>,
    text: Option<TextFile>,
    compression: FileCompressionType,
}

impl Reader {
    fn new(session: &SessionContext, kind: FileKind, text: &TextOptions) -> Self {
        let config = session.copied_config();
        let partitions = config.target_partitions();
        // The parts of a file are distributed to streams later, so their rows need no repartitioning here.
        let config = config.with_round_robin_repartition(false);
        let context = SessionContext::new_with_config_rt(config, session.runtime_env());
        Self { context, kind, text: text.clone(), partitions }
    }

    /// Returns the files with rows. An empty NDJSON file has no rows; an empty file of another kind is broken.
    fn with_rows<'a>(&self, files: &'a [SourceFile]) -> Result<Vec<&'a SourceFile>> {
        let (empty, full): (Vec<_>, Vec<_>) = files.iter().partition(|file| file.bytes == 0);
        match empty.first() {
            Some(file) if self.kind != FileKind::Ndjson => {
                Err(Error::invalid("the source file is empty").code("empty-source").with("file", file.path.display()))
            }
            _ => Ok(full),
        }
    }

    async fn look<'a>(&self, file: &'a SourceFile, table: Option<&SchemaRef>) -> Result<Looked<'a>> {
        let compression = file.compression;
        let (schema, text) = if self.kind.is_text() {
            let (schema, text) = self.look_into_text(file, table).map_err(with_options)?;
            (schema, Some(text))
        } else {
            (self.infer(&file.path, compression).await?, None)
        };
        Ok(Looked { columns: FileColumns { path: &file.path, schema }, text, compression })
    }

    fn look_into_text(&self, file: &SourceFile, table: Option<&SchemaRef>) -> Result<(SchemaRef, TextFile)> {
        let text = TextFile::find_out(file, &self.text)?;
        let Some(table) = table else { return Ok((text.columns()?, text)) };
        let names = text.names()?;
        let has_names = text.dialect().header || !self.text.columns.is_empty();
        let names = if has_names { names } else { named_by_place(&file.path, &names, table)? };
        Ok((names, text))
    }

    async fn infer(&self, path: &Path, compression: FileCompressionType) -> Result<SchemaRef> {
        check_outside(path, self.kind)?;
        let rows = caught(self.rows(path, None, compression)).await.map_err(|error| broken_off(path, &error))?;
        Ok(Arc::clone(rows.map_err(|error| unreadable(path, error))?.schema().inner()))
    }

    /// Returns the rows of a file that is not a text file.
    async fn rows(
        &self,
        path: &Path,
        schema: Option<SchemaRef>,
        compression: FileCompressionType,
    ) -> Result<DataFrame, DataFusionError> {
        let schema = schema.as_deref();
        let url = literal_url(path).map_err(|error| DataFusionError::External(Box::new(error)))?;
        let name = url.as_str();
        match self.kind {
            FileKind::Parquet => {
                let options = ParquetReadOptions { file_extension: "", schema, ..Default::default() };
                self.context.read_parquet(name, options).await
            }
            FileKind::Csv | FileKind::Tsv | FileKind::Ndjson => {
                // All rows are sampled: a key that first appears in a late row would be dropped silently.
                let sample_rows = self.text.sample_rows.map_or(usize::MAX, NonZeroUsize::get);
                let options = JsonReadOptions {
                    file_extension: "",
                    schema,
                    schema_infer_max_records: sample_rows,
                    file_compression_type: compression,
                    ..Default::default()
                };
                self.context.read_json(name, options).await
            }
            FileKind::Arrow => {
                let options = ArrowReadOptions { file_extension: "", schema, ..Default::default() };
                self.context.read_arrow(name, options).await
            }
        }
    }

    /// Returns the parts of a file. Their rows have the schema `table`.
    async fn parts(&self, file: &Looked<'_>, table: &SchemaRef) -> Result<Vec<Part>> {
        let path = file.columns.path;
        let schema = reading_schema(self.kind, &file.columns, table)?;
        let plan = caught(self.plan(file, schema, table)).await.map_err(|error| broken_off(path, &error))?;
        let plan = plan.map_err(|error| unreadable(path, error))?;
        let path: Arc<Path> = Arc::from(path);
        let count = plan.output_partitioning().partition_count();
        Ok((0..count).map(|partition| Part { path: Arc::clone(&path), plan: Arc::clone(&plan), partition }).collect())
    }

    async fn plan(
        &self,
        file: &Looked<'_>,
        schema: SchemaRef,
        table: &SchemaRef,
    ) -> Result<Arc<dyn ExecutionPlan>, DataFusionError> {
        let rows = match &file.text {
            Some(text) => {
                let rows = text.table(Arc::clone(&schema));
                self.context.read_table(rows.map_err(|error| DataFusionError::External(Box::new(error)))?)?
            }
            None => self.rows(file.columns.path, Some(Arc::clone(&schema)), file.compression).await?,
        };
        let columns = table.fields().iter().map(|field| column(&schema, field)).collect::<Result<Vec<_>, _>>()?;
        let plan = rows.select(columns)?.create_physical_plan().await?;
        let state = self.context.state();
        Ok(plan.repartitioned(self.partitions, state.config_options())?.unwrap_or(plan))
    }
}

/// Returns the column of a file in the type of the table, or nulls if the file does not have it.
fn column(file: &Schema, wanted: &Field) -> Result<Expr, DataFusionError> {
    let found = match file.field_with_name(wanted.name()) {
        Ok(found) if found.data_type() == wanted.data_type() => ident(wanted.name()),
        Ok(_) => cast(ident(wanted.name()), wanted.data_type().clone()),
        Err(_) => lit(ScalarValue::try_from(wanted.data_type())?),
    };
    Ok(found.alias(wanted.name()))
}

fn unreadable(path: &Path, error: DataFusionError) -> Error {
    let known = error_of(error);
    if known.kind() == ErrorKind::ResourceLimit {
        return known.with("file", path.display());
    }
    if known.stable_code() == "bad-source" {
        return with_options(known);
    }
    // The cause is the message of the library; the layers around it do not help the user.
    bad_source(path, cause_of(&known))
}

/// Returns the error for a file on which a library panicked.
fn broken_off(path: &Path, error: &Error) -> Error {
    bad_source(path, cause_of(error))
}

fn cause_of(error: &Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}

fn bad_source(path: &Path, why: String) -> Error {
    Error::invalid("the source file cannot be read")
        .code("bad-source")
        .with("file", path.display())
        .because(why)
        .help("fix the file, or leave it out; nothing was changed")
}

/// One part of one file.
#[derive(Clone)]
struct Part {
    path: Arc<Path>,
    plan: Arc<dyn ExecutionPlan>,
    partition: usize,
}

impl Part {
    fn open(&self, context: &Arc<TaskContext>) -> Result<SendableRecordBatchStream, DataFusionError> {
        let path = Arc::clone(&self.path);
        let external = |error| DataFusionError::External(Box::new(error));
        let rows = self.plan.execute(self.partition, Arc::clone(context));
        let rows = rows.map_err(|error| external(unreadable(&path, error)))?;
        let schema = rows.schema();
        let named = AssertUnwindSafe(rows).catch_unwind().map(move |batch| match batch {
            Ok(batch) => batch.map_err(|error| external(unreadable(&path, error))),
            Err(panic) => Err(external(broken_off(&path, &error_of_panic(panic.as_ref())))),
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, named)))
    }
}

/// Distributes parts to at most `count` streams, so that up to `count` parts are read at a time.
fn dealt(parts: Vec<Part>, count: usize, schema: &SchemaRef) -> Vec<Arc<dyn PartitionStream>> {
    let count = count.min(parts.len()).max(1);
    let mut streams: Vec<Vec<Part>> = vec![Vec::new(); count];
    for (stream, part) in (0..count).cycle().zip(parts) {
        if let Some(stream) = streams.get_mut(stream) {
            stream.push(part);
        }
    }
    let stream = |parts| Arc::new(Parts { schema: Arc::clone(schema), parts }) as Arc<dyn PartitionStream>;
    streams.into_iter().map(stream).collect()
}

/// Parts that are read one after the other.
struct Parts {
    schema: SchemaRef,
    parts: Vec<Part>,
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let paths: Vec<PathBuf> = self.parts.iter().map(|part| part.path.to_path_buf()).collect();
        f.debug_struct("Parts").field("paths", &paths).finish_non_exhaustive()
    }
}

impl PartitionStream for Parts {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let schema = Arc::clone(&self.schema);
        let opened = futures::stream::iter(self.parts.clone()).map(move |part| part.open(&context));
        // The plan of one file may have other nullability and metadata than all files together.
        let uniform = Arc::clone(&schema);
        let rows = opened.try_flatten().map(move |batch| {
            let columns = batch?.columns().to_vec();
            Ok(RecordBatch::try_new(Arc::clone(&uniform), columns)?)
        });
        Box::pin(RecordBatchStreamAdapter::new(schema, rows))
    }
}
