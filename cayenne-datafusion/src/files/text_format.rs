//! Delimited text as a file format: DataFusion's own, with a reader that names the line and column of a value that it
//! cannot read.
//!
//! It differs in four ways. It applies the texts for NULL when it reads, not only when it infers types. It widens the
//! types of columns until all files fit. Its errors name file, line and column. A file that ends inside a quoted field
//! is an error. It reads local files only.

use std::path::PathBuf;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use cayenne_format::Error;
use datafusion::catalog::Session;
use datafusion::common::Statistics;
use datafusion::common::config::CsvOptions;
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::file_format::csv::CsvFormat;
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::datasource::physical_plan::{FileScanConfig, FileScanConfigBuilder, FileSinkConfig, FileSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::Result;
use datafusion::physical_expr::LexRequirement;
use datafusion::physical_plan::ExecutionPlan;
use object_store::path::Path as ObjectPath;
use object_store::{GetOptions, GetResultPayload, ObjectMeta, ObjectStore};

use crate::error::external;
use crate::files::dialect::SAMPLE_ROWS;
use crate::files::text::infer;
use crate::files::text_source::TextSource;

/// The file format of delimited text.
#[derive(Debug)]
pub(crate) struct TextFormat {
    /// All options are set, so the session's defaults are not used.
    options: CsvOptions,
    /// Whether the header of each file must have the names of the columns, because these come from a header.
    checks_header: bool,
}

impl TextFormat {
    pub(crate) fn new(options: CsvOptions) -> Self {
        Self { options, checks_header: false }
    }

    pub(crate) fn checking_headers(mut self) -> Self {
        self.checks_header = self.options.has_header.unwrap_or(true);
        self
    }

    fn datafusions(&self) -> CsvFormat {
        CsvFormat::default().with_options(self.options.clone())
    }
}

/// Opens a file of a local store.
pub(crate) async fn local(store: &Arc<dyn ObjectStore>, location: &ObjectPath) -> Result<(std::fs::File, PathBuf)> {
    match store.get_opts(location, GetOptions::default()).await?.payload {
        GetResultPayload::File(file, path) => Ok((file, path)),
        GetResultPayload::Stream(_) => {
            Err(external(Error::unsupported("only local text files are read").with("file", location)))
        }
    }
}

#[async_trait]
impl FileFormat for TextFormat {
    fn get_ext(&self) -> String {
        self.datafusions().get_ext()
    }

    fn get_ext_with_compression(&self, compression: &FileCompressionType) -> Result<String> {
        self.datafusions().get_ext_with_compression(compression)
    }

    fn compression_type(&self) -> Option<FileCompressionType> {
        self.datafusions().compression_type()
    }

    async fn infer_schema(
        &self,
        _: &dyn Session,
        store: &Arc<dyn ObjectStore>,
        objects: &[ObjectMeta],
    ) -> Result<SchemaRef> {
        let mut rows = self.options.schema_infer_max_rec.unwrap_or(SAMPLE_ROWS);
        let mut columns: Option<Vec<Field>> = None;
        for object in objects {
            let (_, path) = local(store, &object.location).await?;
            let (schema, read) = infer(&path, &self.options, rows).map_err(external)?;
            columns = Some(match columns {
                None => schema.fields().iter().map(|field| field.as_ref().clone()).collect(),
                Some(columns) => widened(columns, &schema),
            });
            rows = rows.saturating_sub(read);
            if rows == 0 {
                break;
            }
        }
        let columns = columns.unwrap_or_default().into_iter().map(settled).collect::<Vec<_>>();
        Ok(Arc::new(Schema::new(columns)))
    }

    async fn infer_stats(
        &self,
        _: &dyn Session,
        _: &Arc<dyn ObjectStore>,
        schema: SchemaRef,
        _: &ObjectMeta,
    ) -> Result<Statistics> {
        Ok(Statistics::new_unknown(&schema))
    }

    async fn create_physical_plan(&self, _: &dyn Session, config: FileScanConfig) -> Result<Arc<dyn ExecutionPlan>> {
        let config =
            FileScanConfigBuilder::from(config).with_file_compression_type(self.options.compression.into()).build();
        Ok(DataSourceExec::from_data_source(config))
    }

    async fn create_writer_physical_plan(
        &self,
        input: Arc<dyn ExecutionPlan>,
        state: &dyn Session,
        config: FileSinkConfig,
        order: Option<LexRequirement>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.datafusions().create_writer_physical_plan(input, state, config, order).await
    }

    fn file_source(&self, schema: TableSchema) -> Arc<dyn FileSource> {
        Arc::new(TextSource::new(schema, self.options.clone(), self.checks_header))
    }
}

/// Widens the types of columns until another file fits. If its columns have other names, the reader rejects the file.
fn widened(columns: Vec<Field>, other: &Schema) -> Vec<Field> {
    let same = |column: &Field| other.fields().iter().find(|field| field.name() == column.name()).cloned();
    let widened = columns.into_iter().map(|column| match same(&column) {
        None => column,
        Some(field) => {
            let data_type = widened_type(column.data_type(), field.data_type());
            column.with_data_type(data_type)
        }
    });
    widened.collect()
}

fn widened_type(a: &DataType, b: &DataType) -> DataType {
    use DataType::{Float64, Int64, Null, Utf8};
    match (a, b) {
        _ if a == b => a.clone(),
        (Null, other) | (other, Null) => other.clone(),
        (Int64, Float64) | (Float64, Int64) => Float64,
        // Any field can be read as text.
        _ => Utf8,
    }
}

/// Returns the final type of a column. A column without values becomes text, and text is read in the format that
/// queries process fastest.
fn settled(field: Field) -> Field {
    match field.data_type() {
        DataType::Null | DataType::Utf8 => field.with_data_type(DataType::Utf8View),
        _ => field,
    }
}
