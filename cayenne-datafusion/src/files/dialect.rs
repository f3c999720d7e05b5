//! The dialect of a text file (delimiter, quote, escape and header), and the options with which a user sets it.

use std::fmt;
use std::num::NonZeroUsize;

use arrow_schema::DataType;
use cayenne_format::{Error, Result};

/// Number of rows of a text file from which the types of its columns are inferred, unless [`TextOptions::sample_rows`]
/// is set.
pub(crate) const SAMPLE_ROWS: usize = 10_000;

/// The options of text files. What is not set is detected from the file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TextOptions {
    /// The byte that separates two fields.
    pub delimiter: Option<u8>,
    /// The byte around a field that contains delimiters or line ends.
    pub quote: Option<u8>,
    /// The byte before a literal quote. Without it, a literal quote is doubled.
    pub escape: Option<u8>,
    /// Whether the first record names the columns.
    pub header: Option<bool>,
    /// Texts that are read as NULL, besides the empty field.
    pub nulls: Vec<String>,
    /// The columns: all of them for a file without a header, else only those whose types are not to be inferred.
    pub columns: Vec<ColumnOption>,
    /// Number of rows from which the types of the columns are inferred. Default 10,000.
    pub sample_rows: Option<NonZeroUsize>,
}

/// The options of one column.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnOption {
    /// The name of the column.
    pub name: String,
    /// The type of the column; `None` to infer it.
    pub data_type: Option<DataType>,
}

/// The dialect of a text file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dialect {
    /// The byte that separates two fields.
    pub delimiter: u8,
    /// The byte around a field that contains delimiters or line ends.
    pub quote: u8,
    /// The byte before a literal quote; `None` if a literal quote is doubled.
    pub escape: Option<u8>,
    /// Whether the first record names the columns.
    pub header: bool,
}

impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = if self.header { "a header" } else { "no header" };
        write!(f, "delimiter {}, quote {}, {header}", shown(self.delimiter), shown(self.quote))?;
        self.escape.map_or(Ok(()), |escape| write!(f, ", escape {}", shown(escape)))
    }
}

/// Formats a byte for messages.
pub(crate) fn shown(byte: u8) -> String {
    match byte {
        b'\t' => "tab".to_owned(),
        b'\'' => "\"'\"".to_owned(),
        byte => format!("'{}'", char::from(byte)),
    }
}

/// Parses a delimiter, quote or escape: one ASCII character, or `tab` or `\t`.
///
/// # Errors
///
/// `Invalid` for everything else.
pub fn parse_mark(text: &str) -> Result<u8> {
    match text.as_bytes() {
        _ if text.eq_ignore_ascii_case("tab") || text == "\\t" => Ok(b'\t'),
        [byte] if byte.is_ascii() && !matches!(byte, b'\n' | b'\r' | 0) => Ok(*byte),
        _ => Err(Error::invalid("a delimiter, quote or escape is not one character")
            .code("bad-option")
            .with("value", text)
            .help("use one ASCII character other than a line end, or 'tab'")),
    }
}

impl TextOptions {
    /// Checks that the options do not contradict each other.
    ///
    /// # Errors
    ///
    /// `Invalid` if two of delimiter, quote and escape are the same, except that a quote may escape itself, or if a
    /// column is named twice.
    pub fn validate(&self) -> Result<()> {
        let same = |a: Option<u8>, b: Option<u8>| a.is_some() && a == b;
        if same(self.delimiter, self.quote) || same(self.delimiter, self.escape) {
            return Err(
                Error::invalid("the delimiter is the same character as the quote or the escape").code("bad-option")
            );
        }
        for (at, column) in self.columns.iter().enumerate() {
            if self.columns.iter().take(at).any(|other| other.name == column.name) {
                return Err(Error::invalid("a column is named twice").code("bad-option").with("column", &column.name));
            }
        }
        Ok(())
    }

    pub(crate) fn sample_rows(&self) -> usize {
        self.sample_rows.map_or(SAMPLE_ROWS, NonZeroUsize::get)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_single_characters() {
        assert_eq!(parse_mark(";").unwrap(), b';');
        assert_eq!((parse_mark("tab").unwrap(), parse_mark("\\t").unwrap()), (b'\t', b'\t'));
        for text in ["", ";;", "ä", "\n", "\r", "\0"] {
            assert!(parse_mark(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn contradictions_are_refused() {
        let options = TextOptions { delimiter: Some(b'"'), quote: Some(b'"'), ..TextOptions::default() };
        assert!(options.validate().is_err());
        let column = || ColumnOption { name: "a".into(), data_type: None };
        assert!(TextOptions { columns: vec![column(), column()], ..TextOptions::default() }.validate().is_err());
        assert!(TextOptions::default().validate().is_ok());
    }

    #[test]
    fn what_was_found_is_said_in_words() {
        let dialect = Dialect { delimiter: b'\t', quote: b'"', escape: Some(b'\\'), header: false };
        assert_eq!(dialect.to_string(), "delimiter tab, quote '\"', no header, escape '\\'");
    }
}
