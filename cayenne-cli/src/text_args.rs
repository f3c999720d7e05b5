//! What the command line says of text files.

use std::num::NonZeroUsize;

use cayenne_datafusion::{ColumnOption, FileKind, TextOptions, parse_mark};
use cayenne_format::{Error, Result};
use clap::{Args, ValueEnum};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::DFSchema;
use datafusion::logical_expr::{Expr, ExprSchemable};
use datafusion::prelude::SessionContext;

/// What a file holds, as the command line says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum InputFormat {
    /// Apache Parquet
    Parquet,
    /// Delimited text
    Csv,
    /// Text delimited by tabs
    Tsv,
    /// One JSON object per line
    Ndjson,
    /// Arrow IPC, file or stream
    Arrow,
}

impl From<InputFormat> for FileKind {
    fn from(format: InputFormat) -> Self {
        match format {
            InputFormat::Parquet => Self::Parquet,
            InputFormat::Csv => Self::Csv,
            InputFormat::Tsv => Self::Tsv,
            InputFormat::Ndjson => Self::Ndjson,
            InputFormat::Arrow => Self::Arrow,
        }
    }
}

/// How text files are written. What is not given is found in the file.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options for CSV and TSV files; without them, the files are looked at")]
pub(crate) struct TextArgs {
    /// The character between two fields; 'tab' for a tab
    #[arg(long, value_name = "CHAR", value_parser = mark)]
    delimiter: Option<u8>,
    /// The character around a field that holds delimiters or line ends
    #[arg(long, value_name = "CHAR", value_parser = mark)]
    quote: Option<u8>,
    /// The character before a quote that stands for itself; without one, such a quote is doubled
    #[arg(long, value_name = "CHAR", value_parser = mark)]
    escape: Option<u8>,
    /// A text that stands for NULL, besides the empty field; may be given several times
    #[arg(long, value_name = "TEXT")]
    null: Vec<String>,
    /// The first line names the columns
    #[arg(long, conflicts_with = "no_header")]
    header: bool,
    /// The first line is a row
    #[arg(long)]
    no_header: bool,
    /// Names and types of columns, as in 'id:bigint,name'; without a header, all of them
    #[arg(long, value_name = "NAME[:TYPE],…")]
    columns: Option<String>,
    /// How many rows of a CSV or NDJSON file decide the types of its columns [default: 10000 of CSV, all of NDJSON]
    #[arg(long, alias = "infer-rows", value_name = "N")]
    pub(crate) sample_rows: Option<NonZeroUsize>,
}

fn mark(text: &str) -> Result<u8, String> {
    parse_mark(text).map_err(|error| error.way_to_mend().unwrap_or_default().to_owned())
}

impl TextArgs {
    /// Returns the options for files of this kind.
    ///
    /// # Errors
    ///
    /// `Invalid` for options of text files where the files are no text, and for columns that cannot be read.
    pub(crate) fn options(&self, kind: FileKind, session: &SessionContext) -> Result<TextOptions> {
        if let Some(option) = self.given().filter(|_| !kind.is_text()) {
            return Err(Error::invalid("the option is for text files only")
                .code("bad-option")
                .with("option", option)
                .help("leave the option out, or add --input-format csv if the files are text"));
        }
        let columns = self.columns.as_deref().map_or(Ok(Vec::new()), |text| columns(text, session))?;
        let options = TextOptions {
            delimiter: self.delimiter,
            quote: self.quote,
            escape: self.escape,
            header: self.header_option(),
            nulls: self.null.clone(),
            columns,
            sample_rows: self.sample_rows,
        };
        options.validate()?;
        Ok(options)
    }

    fn header_option(&self) -> Option<bool> {
        match (self.header, self.no_header) {
            (true, _) => Some(true),
            (_, true) => Some(false),
            _ => None,
        }
    }

    /// Returns the first option that makes sense for text only.
    fn given(&self) -> Option<&'static str> {
        let options = [
            ("--delimiter", self.delimiter.is_some()),
            ("--quote", self.quote.is_some()),
            ("--escape", self.escape.is_some()),
            ("--null", !self.null.is_empty()),
            ("--header", self.header),
            ("--no-header", self.no_header),
            ("--columns", self.columns.is_some()),
        ];
        options.into_iter().find(|(_, is_given)| *is_given).map(|(name, _)| name)
    }
}

/// Reads `id:bigint,"a,b":decimal(12,2),note`.
fn columns(text: &str, session: &SessionContext) -> Result<Vec<ColumnOption>> {
    let mut columns = Vec::new();
    for column in split(text, ',') {
        let parts = split(column, ':');
        let (name, data_type) = match parts.as_slice() {
            [name] => (name, None),
            [name, data_type] => (name, Some(parse_type(data_type, session)?)),
            _ => return Err(bad_columns(column)),
        };
        columns.push(ColumnOption { name: unquoted(name).ok_or_else(|| bad_columns(column))?, data_type });
    }
    Ok(columns)
}

/// Splits a text where the separator stands outside of double quotes and parentheses.
fn split(text: &str, separator: char) -> Vec<&str> {
    let (mut is_quoted, mut depth) = (false, 0_usize);
    text.split(|character: char| {
        match character {
            '"' => is_quoted = !is_quoted,
            '(' if !is_quoted => depth += 1,
            ')' if !is_quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
        character == separator && !is_quoted && depth == 0
    })
    .collect()
}

fn unquoted(name: &str) -> Option<String> {
    let name = name.trim();
    let inner = name.strip_prefix('"').and_then(|name| name.strip_suffix('"'));
    let name = inner.map_or_else(|| name.to_owned(), |name| name.replace("\"\"", "\""));
    (!name.is_empty()).then_some(name)
}

fn parse_type(text: &str, session: &SessionContext) -> Result<DataType> {
    let nothing = DFSchema::empty();
    let unknown = || {
        Error::invalid("unknown column type")
            .code("bad-option")
            .with("option", "--columns")
            .with("type", text.trim())
            .help("use a type of SQL, such as bigint, double, decimal(12,2), varchar, date, timestamp or boolean")
    };
    let cast = session.state().create_logical_expr(&format!("CAST(NULL AS {text})"), &nothing);
    match cast.map_err(|error| unknown().because(error))? {
        cast @ Expr::Cast(_) => cast.get_type(&nothing).map_err(|error| unknown().because(error)),
        _ => Err(unknown()),
    }
}

fn bad_columns(column: &str) -> Error {
    Error::invalid("the list of columns cannot be parsed")
        .code("bad-option")
        .with("option", "--columns")
        .with("column", column)
        .help("write them as 'id:bigint,name:varchar', and names with other characters in double quotes")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Vec<ColumnOption>> {
        columns(text, &SessionContext::new())
    }

    #[test]
    fn columns_have_names_and_types() {
        let found = parsed("id:bigint, price : decimal(12,2),\"a,b:c\",\"say \"\"hi\"\"\":date").unwrap();
        let found: Vec<_> = found.into_iter().map(|column| (column.name, column.data_type)).collect();
        let wanted = [
            ("id", Some(DataType::Int64)),
            ("price", Some(DataType::Decimal128(12, 2))),
            ("a,b:c", None),
            ("say \"hi\"", Some(DataType::Date32)),
        ];
        assert_eq!(found, wanted.map(|(name, data_type)| (name.to_owned(), data_type)));
    }

    #[test]
    fn columns_that_cannot_be_read_are_refused() {
        for text in ["", "a,,b", "a:b:c", ":int", "a:integr", "a:int) + (1", "a:"] {
            assert_eq!(parsed(text).unwrap_err().stable_code(), "bad-option", "{text:?}");
        }
    }
}
