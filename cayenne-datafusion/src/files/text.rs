//! A text file: its dialect, its columns, and its rows as a table.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef};
use cayenne_format::{Error, Result};
use datafusion::arrow::csv::ReaderBuilder;
use datafusion::arrow::csv::reader::Format;
use datafusion::catalog::TableProvider;
use datafusion::common::config::CsvOptions;
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig};
use regex::Regex;

use crate::error::error_of;
use crate::files::bytes::{open, sample, unpacked};
use crate::files::dialect::{ColumnOption, Dialect, SAMPLE_ROWS, TextOptions};
use crate::files::find::SourceFile;
use crate::files::kind::FileKind;
use crate::files::locate::Broken;
use crate::files::place::literal_url;
use crate::files::records::Marks;
use crate::files::sniff::sniff;
use crate::files::text_format::TextFormat;

/// A text file whose dialect is known.
#[derive(Clone, Debug)]
pub struct TextFile {
    path: PathBuf,
    dialect: Dialect,
    options: CsvOptions,
    columns: Vec<ColumnOption>,
}

impl TextFile {
    /// Opens a file and detects what `given` leaves open.
    ///
    /// # Errors
    ///
    /// `Invalid` if the file is empty, cannot be decompressed, or has two equally likely delimiters.
    pub fn find_out(file: &SourceFile, given: &TextOptions) -> Result<Self> {
        given.validate()?;
        let mut given = given.clone();
        if file.kind == FileKind::Tsv {
            given.delimiter = given.delimiter.or(Some(b'\t'));
        }
        let dialect = dialect_of(&file.path, file.compression, &given)?;
        let options = CsvOptions {
            has_header: Some(dialect.header),
            delimiter: dialect.delimiter,
            quote: dialect.quote,
            escape: dialect.escape,
            // Without it, a quoted field cannot contain a line end everywhere in the file.
            newlines_in_values: Some(true),
            compression: file.compression.into(),
            schema_infer_max_rec: Some(given.sample_rows()),
            null_regex: null_pattern(&given.nulls),
            ..CsvOptions::default()
        };
        Ok(Self { path: file.path.clone(), dialect, options, columns: given.columns })
    }

    /// Returns the dialect of the file.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    pub(crate) fn options(&self) -> &CsvOptions {
        &self.options
    }

    /// Returns the columns: their names from the header, and their types from the first rows, replaced by the given
    /// options of columns.
    ///
    /// A column without values has the type Null. Columns without a name are called `column_1` and so on.
    ///
    /// # Errors
    ///
    /// `Invalid` if a line has a different number of fields, or if an option names a column that the file does not
    /// have.
    pub fn columns(&self) -> Result<SchemaRef> {
        let (schema, _) = infer(&self.path, &self.options, self.sample_rows())?;
        declared(schema, &self.columns, self.dialect.header)
            .map(Arc::new)
            .map_err(|error| error.with("file", self.path.display()))
    }

    /// Returns the names of the columns. Their types are inferred from only one row.
    ///
    /// # Errors
    ///
    /// The errors of [`columns`](Self::columns).
    pub fn names(&self) -> Result<SchemaRef> {
        Self { options: CsvOptions { schema_infer_max_rec: Some(1), ..self.options.clone() }, ..self.clone() }.columns()
    }

    /// Returns the rows as a table. The columns of `schema` must be those of the file, in their order.
    ///
    /// # Errors
    ///
    /// Returns an error if the path is not the path of a file.
    pub fn table(&self, schema: SchemaRef) -> Result<Arc<dyn TableProvider>> {
        let format = TextFormat::new(self.options.clone());
        let options = ListingOptions::new(Arc::new(format)).with_file_extension("");
        let config = ListingTableConfig::new(literal_url(&self.path)?).with_listing_options(options);
        let table = ListingTable::try_new(config.with_schema(schema)).map_err(error_of)?;
        Ok(Arc::new(table))
    }

    fn sample_rows(&self) -> usize {
        self.options.schema_infer_max_rec.unwrap_or(SAMPLE_ROWS)
    }
}

pub(crate) fn dialect_of(path: &Path, compression: FileCompressionType, given: &TextOptions) -> Result<Dialect> {
    let sample = sample(path, compression)?;
    sniff(&sample.bytes, sample.is_whole, given).map_err(|error| {
        let named = error.with("file", path.display());
        if named.stable_code() == "ambiguous-delimiter" { named.help("say which one it is") } else { named }
    })
}

fn null_pattern(nulls: &[String]) -> Option<String> {
    let texts: Vec<String> = nulls.iter().map(|null| regex::escape(null)).collect();
    (!texts.is_empty()).then(|| format!("^(?:|{})$", texts.join("|")))
}

/// Returns the delimiter, quote and escape of the options.
pub(crate) fn marks(options: &CsvOptions) -> Marks {
    Marks { delimiter: options.delimiter, quote: options.quote, escape: options.escape }
}

/// Returns a builder for a reader with these options. The pattern for NULL was validated when the options were created.
pub(crate) fn builder(schema: SchemaRef, options: &CsvOptions) -> ReaderBuilder {
    ReaderBuilder::new(schema).with_format(format(options))
}

fn format(options: &CsvOptions) -> Format {
    let mut format = Format::default()
        .with_header(options.has_header.unwrap_or(true))
        .with_delimiter(options.delimiter)
        .with_quote(options.quote)
        .with_truncated_rows(options.truncated_rows.unwrap_or(false));
    if let Some(escape) = options.escape {
        format = format.with_escape(escape);
    }
    if let Some(comment) = options.comment {
        format = format.with_comment(comment);
    }
    if let Some(terminator) = options.terminator {
        format = format.with_terminator(terminator);
    }
    let nulls = options.null_regex.as_deref().and_then(|pattern| Regex::new(pattern).ok());
    nulls.map_or(format.clone(), |nulls| format.with_null_regex(nulls))
}

/// Infers the names of the columns, and their types from the first rows. Also returns the number of rows read.
pub(crate) fn infer(path: &Path, options: &CsvOptions, rows: usize) -> Result<(Schema, usize)> {
    let text = unpacked(open(path)?, options)?;
    format(options).infer_schema(text, Some(rows)).map_err(|error| {
        let schema = first_record(path, options);
        let every: Vec<usize> = (0..schema.fields().len()).collect();
        let broken = Broken { path, options, schema: &schema, projection: &every };
        broken.explain(error, 0)
    })
}

/// Returns a text column for each field of the first record.
fn first_record(path: &Path, options: &CsvOptions) -> SchemaRef {
    let compression = FileCompressionType::from(options.compression);
    let bytes = sample(path, compression).map(|sample| sample.bytes).unwrap_or_default();
    let (records, _) = crate::files::records::split(&bytes, marks(options));
    let fields = records.into_iter().next().unwrap_or_default().fields;
    let has_names = options.has_header.unwrap_or(true);
    let column = |(at, name): (usize, Vec<u8>)| {
        let name = if has_names { String::from_utf8_lossy(&name).into_owned() } else { format!("column_{}", at + 1) };
        Field::new(name, DataType::Utf8, true)
    };
    Arc::new(Schema::new(fields.into_iter().enumerate().map(column).collect::<Vec<_>>()))
}

/// Replaces the found names and types of columns with the given ones.
fn declared(found: Schema, given: &[ColumnOption], has_names: bool) -> Result<Schema> {
    if given.is_empty() {
        return Ok(found);
    }
    if !has_names && given.len() != found.fields().len() {
        return Err(Error::invalid("the number of columns differs from the file")
            .code("bad-option")
            .with("declared", given.len())
            .with("found", found.fields().len())
            .help("a file without a header needs a name for each of its columns"));
    }
    let mut fields: Vec<Field> = found.fields().iter().map(|field| field.as_ref().clone()).collect();
    for (at, column) in given.iter().enumerate() {
        let place = if has_names { fields.iter().position(|field| *field.name() == column.name) } else { Some(at) };
        let Some(field) = place.and_then(|place| fields.get_mut(place)) else {
            return Err(Error::invalid("the file does not have the column")
                .code("unknown-column")
                .with("column", &column.name)
                .help("the columns of the file are named by its header, byte for byte"));
        };
        let data_type = column.data_type.clone().unwrap_or_else(|| field.data_type().clone());
        *field = Field::new(&column.name, data_type, true);
    }
    Ok(Schema::new(fields))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema() -> Schema {
        Schema::new(vec![Field::new("a", DataType::Int64, true), Field::new("b", DataType::Utf8, true)])
    }

    fn column(name: &str, data_type: Option<DataType>) -> ColumnOption {
        ColumnOption { name: name.to_owned(), data_type }
    }

    #[test]
    fn columns_of_a_header_are_declared_by_name() {
        let declared = declared(schema(), &[column("b", Some(DataType::Date32)), column("a", None)], true).unwrap();
        let types: Vec<_> = declared.fields().iter().map(|field| field.data_type().clone()).collect();
        assert_eq!(types, [DataType::Int64, DataType::Date32]);
        let error = super::declared(schema(), &[column("B", None)], true).unwrap_err();
        assert_eq!(error.stable_code(), "unknown-column");
    }

    #[test]
    fn columns_without_a_header_are_declared_in_their_order() {
        let names = declared(schema(), &[column("x", None), column("y", None)], false).unwrap();
        assert_eq!(names.fields().iter().map(|field| field.name().as_str()).collect::<Vec<_>>(), ["x", "y"]);
        assert!(declared(schema(), &[column("x", None)], false).is_err());
    }

    #[test]
    fn texts_for_null_are_taken_literally() {
        let pattern = Regex::new(&null_pattern(&["N.A".into(), "\\N".into()]).unwrap()).unwrap();
        assert!(["", "N.A", "\\N"].iter().all(|text| pattern.is_match(text)));
        assert!(["NxA", "N.A.", "N"].iter().all(|text| !pattern.is_match(text)));
        assert_eq!(null_pattern(&[]), None);
    }
}
