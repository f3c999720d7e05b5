//! Reads delimited text for DataFusion. Its errors name the file, line and column of a value that it cannot read.

use std::fmt;
use std::io::BufReader;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow_array::RecordBatch;
use arrow_schema::{ArrowError, SchemaRef};
use cayenne_format::Error;
use datafusion::arrow::csv::Reader;
use datafusion::common::config::CsvOptions;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileOpenFuture, FileOpener, FileScanConfig, FileSource};
use datafusion::datasource::projection::{ProjectionOpener, SplitProjection};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::Result;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion::physical_plan::{DisplayFormatType, apply_expression_roots};
use futures::{FutureExt, StreamExt};
use object_store::ObjectStore;

use crate::error::external;
use crate::files::bytes::{QuoteCounter, unpacked};
use crate::files::locate::Broken;
use crate::files::text::{builder, infer};
use crate::files::text_format::local;

/// Size of the read buffer, in bytes.
const BUFFER_BYTES: usize = 256 * 1024;

/// The text files of one scan.
#[derive(Clone)]
pub(crate) struct TextSource {
    options: Arc<CsvOptions>,
    checks_header: bool,
    schema: TableSchema,
    projection: SplitProjection,
    batch_rows: usize,
    metrics: ExecutionPlanMetricsSet,
}

impl TextSource {
    pub(crate) fn new(schema: TableSchema, options: CsvOptions, checks_header: bool) -> Self {
        let projection = SplitProjection::unprojected(&schema);
        let metrics = ExecutionPlanMetricsSet::new();
        // DataFusion sets the batch size before it reads anything.
        Self { options: Arc::new(options), checks_header, schema, projection, batch_rows: 1024, metrics }
    }
}

impl FileSource for TextSource {
    fn create_file_opener(
        &self,
        store: Arc<dyn ObjectStore>,
        _: &FileScanConfig,
        _: usize,
    ) -> Result<Arc<dyn FileOpener>> {
        let opener = Arc::new(TextOpener { source: self.clone(), store });
        ProjectionOpener::try_new(self.projection.clone(), opener, self.schema.file_schema())
    }

    fn table_schema(&self) -> &TableSchema {
        &self.schema
    }

    fn with_batch_size(&self, rows: usize) -> Arc<dyn FileSource> {
        Arc::new(Self { batch_rows: rows, ..self.clone() })
    }

    fn try_pushdown_projection(&self, projection: &ProjectionExprs) -> Result<Option<Arc<dyn FileSource>>> {
        let projection = self.projection.source.try_merge(projection)?;
        let projection = SplitProjection::new(self.schema.file_schema(), &projection);
        Ok(Some(Arc::new(Self { projection, ..self.clone() })))
    }

    fn projection(&self) -> Option<&ProjectionExprs> {
        Some(&self.projection.source)
    }

    fn metrics(&self) -> &ExecutionPlanMetricsSet {
        &self.metrics
    }

    fn file_type(&self) -> &'static str {
        "csv"
    }

    /// Returns false: a line end may be inside quotes, so a reader cannot start in the middle of a file.
    fn supports_repartitioning(&self) -> bool {
        false
    }

    fn fmt_extra(&self, format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match format {
            DisplayFormatType::Default | DisplayFormatType::Verbose => {
                write!(f, ", has_header={}", self.options.has_header.unwrap_or(true))
            }
            DisplayFormatType::TreeRender => Ok(()),
        }
    }

    fn apply_expressions(
        &self,
        each: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        apply_expression_roots(self.projection.source.iter(), each)
    }
}

struct TextOpener {
    source: TextSource,
    store: Arc<dyn ObjectStore>,
}

impl FileOpener for TextOpener {
    fn open(&self, file: PartitionedFile) -> Result<FileOpenFuture> {
        let (source, store) = (self.source.clone(), Arc::clone(&self.store));
        let opened = async move {
            let (file, path) = local(&store, &file.object_meta.location).await?;
            let rows = Rows::open(source, file, path)?;
            Ok(futures::stream::iter(rows).boxed())
        };
        Ok(opened.boxed())
    }
}

/// The rows of one file.
struct Rows {
    source: TextSource,
    path: PathBuf,
    reader: Reader<QuoteCounter>,
    quotes: Arc<AtomicU64>,
    read: u64,
    is_over: bool,
}

impl Rows {
    fn open(source: TextSource, file: std::fs::File, path: PathBuf) -> Result<Self> {
        if source.checks_header {
            refuse_other_header(&source, &path).map_err(external)?;
        }
        let bytes = unpacked(file, &source.options).map_err(external)?;
        let (bytes, quotes) = QuoteCounter::new(bytes, source.options.quote);
        let builder = builder(Arc::clone(source.schema.file_schema()), &source.options)
            .with_batch_size(source.batch_rows)
            .with_projection(source.projection.file_indices.clone());
        let reader = builder.build_buffered(BufReader::with_capacity(BUFFER_BYTES, bytes))?;
        Ok(Self { source, path, reader, quotes, read: 0, is_over: false })
    }

    fn broken(&self) -> Broken<'_> {
        Broken {
            path: &self.path,
            options: &self.source.options,
            schema: self.source.schema.file_schema(),
            projection: &self.source.projection.file_indices,
        }
    }

    fn next_batch(&mut self) -> Option<Result<RecordBatch, ArrowError>> {
        if self.is_over { None } else { self.reader.next() }
    }

    /// Returns an error if the file ends inside a quoted field. With an escape, the number of quotes proves nothing.
    /// Then, and if it is odd, the file is read again.
    fn refuse_open_quote(&self) -> Result<(), Error> {
        let has_escape = self.source.options.escape.is_some();
        let is_even = self.quotes.load(Ordering::Relaxed).is_multiple_of(2);
        if is_even && !has_escape { Ok(()) } else { self.broken().refuse_open_quote() }
    }
}

impl Iterator for Rows {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Result<RecordBatch>> {
        match self.next_batch() {
            Some(Ok(batch)) => {
                self.read += batch.num_rows() as u64;
                Some(Ok(batch))
            }
            Some(Err(error)) => {
                self.is_over = true;
                Some(Err(external(self.broken().explain(error, self.read))))
            }
            None if self.is_over => None,
            None => {
                self.is_over = true;
                self.refuse_open_quote().err().map(|error| Err(external(error)))
            }
        }
    }
}

/// Returns an error if the header differs from the columns. Columns are read by their index, so values would end up in
/// the wrong columns.
fn refuse_other_header(source: &TextSource, path: &std::path::Path) -> Result<(), Error> {
    let options = CsvOptions { schema_infer_max_rec: Some(1), ..source.options.as_ref().clone() };
    let (header, _) = infer(path, &options, 0)?;
    let wanted: &SchemaRef = source.schema.file_schema();
    let names = |schema: &arrow_schema::Schema| -> Vec<String> {
        schema.fields().iter().map(|field| field.name().clone()).collect()
    };
    if names(&header) == names(wanted) {
        return Ok(());
    }
    Err(Error::invalid("the header of the file differs from the header of the first file")
        .code("mixed-sources")
        .with("file", path.display())
        .with("expected", names(wanted).join(","))
        .with("found", names(&header).join(","))
        .help("read the files in separate queries, and combine them with UNION ALL BY NAME"))
}
