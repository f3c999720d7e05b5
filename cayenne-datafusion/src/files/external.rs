//! `CREATE EXTERNAL TABLE … STORED AS PARQUET | CSV | TSV | JSON | NDJSON | ARROW`: wraps DataFusion's factories and
//! checks the files first.
//!
//! A missing location is an error. The dialect of text files is detected.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use cayenne_format::{Error, Result as CayenneResult};
use datafusion::catalog::{Session, TableProvider, TableProviderFactory};
use datafusion::common::GetExt;
use datafusion::common::config::CsvOptions;
use datafusion::datasource::file_format::csv::{CsvFormat, CsvFormatFactory};
use datafusion::datasource::file_format::{FileFormat, FileFormatFactory};
use datafusion::datasource::listing_table_factory::ListingTableFactory;
use datafusion::error::Result;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::CreateExternalTable;
use regex::Regex;

use crate::error::external;
use crate::files::dialect::{SAMPLE_ROWS, TextOptions};
use crate::files::find::{SourceFile, find_files};
use crate::files::kind::{FileKind, kind_of};
use crate::files::text::dialect_of;
use crate::files::text_format::TextFormat;

const TEXT: [&str; 2] = ["CSV", "TSV"];
const OTHERS: [&str; 4] = ["PARQUET", "JSON", "NDJSON", "ARROW"];

/// Replaces DataFusion's factories with these.
pub(crate) fn install(factories: &mut HashMap<String, Arc<dyn TableProviderFactory>>) {
    for name in OTHERS {
        if let Some(inner) = factories.get(name).cloned() {
            factories.insert(name.to_owned(), Arc::new(FileTableFactory { inner }));
        }
    }
    if let Some(inner) = factories.get("CSV").cloned() {
        for name in TEXT {
            factories.insert(name.to_owned(), Arc::new(TextTableFactory { inner: Arc::clone(&inner) }));
        }
    }
}

/// The factory for tables of files that describe their own schema.
#[derive(Debug)]
struct FileTableFactory {
    inner: Arc<dyn TableProviderFactory>,
}

#[async_trait]
impl TableProviderFactory for FileTableFactory {
    async fn create(&self, state: &dyn Session, command: &CreateExternalTable) -> Result<Arc<dyn TableProvider>> {
        refuse_missing(command).map_err(external)?;
        let mut command = command.clone();
        if let Some(compression) = compression_by_name(&command) {
            command.options.insert("format.compression".to_owned(), compression);
        }
        self.inner.create(state, &command).await
    }
}

/// The factory for tables of text files.
#[derive(Debug)]
struct TextTableFactory {
    inner: Arc<dyn TableProviderFactory>,
}

#[async_trait]
impl TableProviderFactory for TextTableFactory {
    async fn create(&self, state: &dyn Session, command: &CreateExternalTable) -> Result<Arc<dyn TableProvider>> {
        refuse_missing(command).map_err(external)?;
        let is_tabbed = command.file_type.eq_ignore_ascii_case("TSV");
        let command = CreateExternalTable { file_type: "CSV".to_owned(), ..command.clone() };
        let file = first_file(&command).map_err(external)?;
        let session = state.as_any().downcast_ref::<SessionState>();
        let (Some(file), Some(session)) = (file, session) else {
            return self.inner.create(state, &command).await;
        };
        let format = TextFormatFactory {
            options: options(state, &command, &file, is_tabbed)?,
            checks_header: command.schema.fields().is_empty(),
        };
        let mut session = session.clone();
        session.register_file_format(Arc::new(format), true)?;
        ListingTableFactory::new().create(&session, &command).await
    }
}

/// Returns the options of the statement, completed with what is detected in the first file.
fn options(
    state: &dyn Session,
    command: &CreateExternalTable,
    file: &SourceFile,
    is_tabbed: bool,
) -> Result<CsvOptions> {
    let format = CsvFormatFactory::new().create(state, &command.options)?;
    let said = format.downcast_ref::<CsvFormat>().map(|format| format.options().clone()).unwrap_or_default();
    let says = |name: &str| command.options.keys().any(|key| bare(key) == name);
    if let Some(pattern) = &said.null_regex {
        let invalid = |error| Error::invalid("the pattern for NULL cannot be read").code("bad-option").because(error);
        Regex::new(pattern).map_err(|error| external(invalid(Box::new(error))))?;
    }
    let compression = if says("compression") { said.compression.into() } else { file.compression };
    let tab = (is_tabbed || file.kind == FileKind::Tsv).then_some(b'\t');
    let given = TextOptions {
        delimiter: says("delimiter").then_some(said.delimiter).or(tab),
        quote: says("quote").then_some(said.quote),
        escape: said.escape,
        header: said.has_header,
        ..TextOptions::default()
    };
    let dialect = dialect_of(&file.path, compression, &given).map_err(external)?;
    tracing::info!("{}: {dialect}", file.path.display());
    Ok(CsvOptions {
        has_header: Some(dialect.header),
        delimiter: dialect.delimiter,
        quote: dialect.quote,
        escape: dialect.escape,
        newlines_in_values: Some(true),
        compression: compression.into(),
        schema_infer_max_rec: said.schema_infer_max_rec.or(Some(SAMPLE_ROWS)),
        ..said
    })
}

/// Returns the compression of JSON files by the extension of the location; `None` if the statement sets it.
fn compression_by_name(command: &CreateExternalTable) -> Option<String> {
    let is_json = matches!(command.file_type.to_ascii_uppercase().as_str(), "JSON" | "NDJSON");
    let is_said = command.options.keys().any(|key| bare(key) == "compression");
    let location = command.locations.first().filter(|_| is_json && !is_said)?;
    let (_, compression) = kind_of(Path::new(location), Some(FileKind::Ndjson)).ok()?;
    compression.is_compressed().then(|| compression.get_variant().to_string())
}

/// Returns an option's name without the prefix `format.`, which DataFusion adds to options without a prefix.
fn bare(key: &str) -> &str {
    key.strip_prefix("format.").unwrap_or(key)
}

/// Returns the path of a location on this machine.
fn local_path(location: &str) -> Option<PathBuf> {
    let path = location.strip_prefix("file://").unwrap_or(location);
    (!path.contains("://")).then(|| PathBuf::from(path))
}

/// Returns an error if a location does not exist. A folder may be missing if the columns are declared, because rows can
/// be inserted into it.
fn refuse_missing(command: &CreateExternalTable) -> CayenneResult<()> {
    for location in &command.locations {
        let Some(path) = local_path(location) else { continue };
        let can_be_made = location.ends_with('/') && !command.schema.fields().is_empty();
        if path.is_dir() || can_be_made {
            continue;
        }
        // An existing file may have any name.
        find_files(&[path], Some(FileKind::Ndjson)).map(drop)?;
    }
    Ok(())
}

/// Returns the first text file of the first location; `None` if the location is not on this machine or has no text
/// file.
fn first_file(command: &CreateExternalTable) -> CayenneResult<Option<SourceFile>> {
    let Some(path) = command.locations.first().and_then(|location| local_path(location)) else {
        return Ok(None);
    };
    let kind = Some(FileKind::Csv);
    if !path.is_dir() {
        return Ok(find_files(&[path], kind)?.into_iter().next());
    }
    // The table reads files of one compression only; plain files come first.
    let mut found = Vec::new();
    for pattern in ["*.csv", "*.csv.*"] {
        match find_files(&[path.join(pattern)], kind) {
            Err(error) if error.stable_code() == "source-not-found" => {}
            files => found.extend(files?),
        }
    }
    Ok(found.into_iter().next())
}

/// Creates a text format with fixed options.
#[derive(Debug)]
struct TextFormatFactory {
    options: CsvOptions,
    checks_header: bool,
}

impl FileFormatFactory for TextFormatFactory {
    fn create(&self, _: &dyn Session, _: &HashMap<String, String>) -> Result<Arc<dyn FileFormat>> {
        Ok(self.default())
    }

    fn default(&self) -> Arc<dyn FileFormat> {
        let format = TextFormat::new(self.options.clone());
        Arc::new(if self.checks_header { format.checking_headers() } else { format })
    }
}

impl GetExt for TextFormatFactory {
    fn get_ext(&self) -> String {
        CsvFormatFactory::new().get_ext()
    }
}
