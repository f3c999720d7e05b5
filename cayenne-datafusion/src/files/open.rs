//! `SELECT * FROM 'file.parquet'` and `'folder/*.csv'`: opens files that a statement names as a table.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cayenne_format::Error;
use datafusion::catalog::TableProvider;
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::file_format::arrow::ArrowFormat;
use datafusion::datasource::file_format::json::JsonFormat;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use object_store::ObjectStoreExt;

use crate::error::{error_of, external};
use crate::files::dialect::TextOptions;
use crate::files::envelope::check_outside;
use crate::files::find::{SourceFile, find_files};
use crate::files::kind::{FileKind, is_name_of_file};
use crate::files::place::literal_url;
use crate::files::text::TextFile;
use crate::files::text_format::TextFormat;

/// Returns the files that a name in SQL refers to as a table, or `None` if it refers to no files.
///
/// A name refers to files if it has a `/` or the extension of a file, and the files exist. Otherwise a new table can
/// have it.
pub(crate) async fn open(name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
    if !means_files(name) {
        return Ok(None);
    }
    let files = match find_files(&[local_path(name)?], None) {
        Err(error) if error.stable_code() == "source-not-found" => return Ok(None),
        files => files.map_err(external)?,
    };
    table(&files).await.map(Some)
}

fn means_files(name: &str) -> bool {
    name.contains('/') || is_name_of_file(name)
}

fn local_path(name: &str) -> Result<PathBuf> {
    let path = name.strip_prefix("file://").unwrap_or(name);
    if path.contains("://") {
        return Err(external(Error::unsupported("only local files are read").with("file", name)));
    }
    Ok(PathBuf::from(path))
}

/// Turns the error about a missing table into one about a missing file, if the table's name looks like a file's.
pub(crate) fn missing(error: DataFusionError) -> DataFusionError {
    let text = error.strip_backtrace();
    let name = text.split_once("table '").and_then(|(_, rest)| rest.strip_suffix("' not found"));
    // The name is `catalog.schema.name`, and the last part may have dots.
    let name = name.and_then(|name| name.splitn(3, '.').nth(2)).map(|name| name.trim_matches('"'));
    match name.filter(|name| means_files(name)) {
        None => error,
        Some(name) => {
            external(Error::not_found("no file and no table has this name").code("source-not-found").with("file", name))
        }
    }
}

async fn table(files: &[SourceFile]) -> Result<Arc<dyn TableProvider>> {
    let Some(first) = files.first() else {
        return Err(external(Error::invalid("no source was named")));
    };
    refuse_different_compression(files).map_err(external)?;
    files.iter().try_for_each(|file| check_outside(&file.path, file.kind)).map_err(external)?;
    let format = format_of(first)?;
    let options = ListingOptions::new(Arc::clone(&format)).with_file_extension("");
    let urls = files.iter().map(|file| literal_url(&file.path)).collect::<Result<Vec<_>, _>>().map_err(external)?;
    let schema = columns(format.as_ref(), files, &urls).await?;
    let config = ListingTableConfig::new_with_multi_paths(urls).with_listing_options(options);
    Ok(Arc::new(ListingTable::try_new(config.with_schema(schema))?))
}

/// Returns an error if the files have different compressions: a listing table decompresses all its files the same way.
fn refuse_different_compression(files: &[SourceFile]) -> Result<(), Error> {
    let Some((first, others)) = files.split_first() else { return Ok(()) };
    match others.iter().find(|file| file.compression != first.compression) {
        None => Ok(()),
        Some(other) => Err(Error::invalid("the files are compressed in different ways")
            .code("mixed-sources")
            .with("file", first.path.display())
            .with("other_file", other.path.display())
            .help("read them with separate patterns, and combine them with UNION ALL BY NAME")),
    }
}

fn format_of(first: &SourceFile) -> Result<Arc<dyn FileFormat>> {
    Ok(match first.kind {
        FileKind::Parquet => Arc::new(ParquetFormat::default()),
        FileKind::Arrow => Arc::new(ArrowFormat),
        FileKind::Ndjson => Arc::new(JsonFormat::default().with_file_compression_type(first.compression)),
        FileKind::Csv | FileKind::Tsv => {
            let text = TextFile::find_out(first, &TextOptions::default()).map_err(external)?;
            say(&first.path, &text);
            Arc::new(TextFormat::new(text.options().clone()).checking_headers())
        }
    })
}

/// Logs the dialect with which a text file is read. The command line shows it.
pub(crate) fn say(path: &Path, text: &TextFile) {
    tracing::info!("{}: {}", path.display(), text.dialect());
}

/// Returns the merged schema of all files.
async fn columns(
    format: &dyn FileFormat,
    files: &[SourceFile],
    urls: &[ListingTableUrl],
) -> Result<arrow_schema::SchemaRef> {
    let state = looking_state();
    let mut objects = Vec::with_capacity(urls.len());
    for (file, url) in files.iter().zip(urls) {
        let store = state.runtime_env().object_store(url)?;
        let found = store.head(url.prefix()).await.map_err(DataFusionError::from);
        objects.push(found.map_err(|error| named(&file.path, error))?);
    }
    let Some((file, url)) = files.first().zip(urls.first()) else {
        return Err(external(Error::invalid("no source was named")));
    };
    let store = state.runtime_env().object_store(url)?;
    format.infer_schema(&state, &store, &objects).await.map_err(|error| named(&file.path, error))
}

/// Returns a session that infers the schema of local files, because a catalog does not know its sessions. The session
/// of the statement reads the rows.
fn looking_state() -> SessionState {
    SessionStateBuilder::new().build()
}

/// Adds the file's name to an error that lacks it.
fn named(path: &Path, error: DataFusionError) -> DataFusionError {
    let known = error_of(error);
    if known.facts().any(|(name, _)| name == "file") {
        return external(known);
    }
    external(
        Error::invalid("the source file cannot be read")
            .code("bad-source")
            .with("file", path.display())
            .because(known)
            .help("fix the file, or leave it out; nothing was changed"),
    )
}
