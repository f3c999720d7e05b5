//! Finds the line and column of a value that cannot be read, by reading the file again up to it.
//!
//! The reader's own errors count records, say little about some types, and do not name the column.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::Arc;

use arrow_schema::{ArrowError, Schema};
use cayenne_format::{Error, Result};
use datafusion::arrow::csv::reader::Decoder;
use datafusion::common::config::CsvOptions;
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;

use crate::files::bytes::{Bytes, open, unpacked, unreadable};
use crate::files::records::{Splitter, Step};
use crate::files::text::{builder, marks};

/// Maximum number of records to check after the last good batch. A batch has fewer.
const RECORDS_MAX: u64 = 1 << 20;
/// Maximum number of characters of a value that an error shows.
const SHOWN_CHARS: usize = 100;

/// A text file that could not be read to its end.
pub(crate) struct Broken<'a> {
    pub(crate) path: &'a Path,
    pub(crate) options: &'a CsvOptions,
    /// The columns of the file.
    pub(crate) schema: &'a Arc<Schema>,
    /// The columns that were read.
    pub(crate) projection: &'a [usize],
}

impl Broken<'_> {
    /// Returns an error that names the problem in the records after the first `good` rows, where the reader failed.
    pub(crate) fn explain(&self, error: ArrowError, good: u64) -> Error {
        if let ArrowError::IoError(_, error) = error {
            return unreadable(self.path, error, FileCompressionType::from(self.options.compression));
        }
        let unusual = self.options.comment.is_some() || self.options.terminator.is_some();
        let found = if unusual { None } else { self.search(good).unwrap_or_else(Some) };
        found.unwrap_or_else(|| self.bad_source("the source file cannot be read").because(error))
    }

    /// Returns an error if the text ends inside a quoted field.
    pub(crate) fn refuse_open_quote(&self) -> Result<()> {
        let mut splitter = Splitter::new(marks(self.options));
        let mut records = Records::new(unpacked(open(self.path)?, self.options)?);
        while records.next(&mut splitter).map_err(|error| self.unreadable(error))?.is_some() {}
        if !records.ended_within_quotes {
            return Ok(());
        }
        Err(self
            .bad_source("the file ends within a quoted field")
            .with("line", splitter.record_line())
            .help("the file was cut off, or a quote is missing in the record that begins on this line"))
    }

    fn unreadable(&self, error: std::io::Error) -> Error {
        unreadable(self.path, error, FileCompressionType::from(self.options.compression))
    }

    /// Returns an error for the first bad record after `good` rows, if one is found.
    fn search(&self, good: u64) -> Result<Option<Error>> {
        let header = u64::from(self.options.has_header.unwrap_or(true));
        let mut splitter = Splitter::new(marks(self.options));
        let mut records = Records::new(unpacked(open(self.path)?, self.options)?);
        let mut decoder = self.decoder(self.projection.to_vec());
        for index in 0..good + header + RECORDS_MAX {
            let record = records.next(&mut splitter).map_err(|error| self.unreadable(error))?;
            let Some(record) = record else { break };
            let line = splitter.record_line();
            // The header has as many fields as the file has columns, because the columns were read from it.
            if index < good + header {
                continue;
            }
            if record.fields != self.schema.fields().len() && self.options.truncated_rows != Some(true) {
                return Ok(Some(self.ragged(record.fields, line)));
            }
            if let Err(error) = decoded(&mut decoder, &record.bytes) {
                return Ok(Some(self.bad_record(&record.bytes, line, error)));
            }
        }
        Ok(None)
    }

    fn ragged(&self, found: usize, line: u64) -> Error {
        self.bad_source("a line has another number of fields than the file has columns")
            .with("line", line)
            .with("expected", self.schema.fields().len())
            .with("found", found)
            .help("mend the line, or name the delimiter and the quote if they are others; nothing was changed")
    }

    fn bad_record(&self, record: &[u8], line: u64, error: ArrowError) -> Error {
        let fields = fields(record, self.options);
        let named = |at: usize| Some((self.schema.fields().get(at)?, fields.get(at)?));
        if let Some((field, _)) = fields.iter().position(|field| std::str::from_utf8(field).is_err()).and_then(named) {
            return self
                .bad_source("a value is no UTF-8 text")
                .with("line", line)
                .with("column", field.name())
                .help("convert the file to UTF-8; nothing was changed");
        }
        let fails = |column: &usize| decoded(&mut self.decoder(vec![*column]), record).is_err();
        let Some((field, value)) = self.projection.iter().copied().find(fails).and_then(named) else {
            return self.bad_source("a line cannot be read").with("line", line).because(error);
        };
        self.bad_source("a value does not fit the type of its column")
            .with("line", line)
            .with("column", field.name())
            .with("value", format_args!("'{}'", shown(value)))
            .with("type", field.data_type())
            .help("declare the column with another type, or let more rows decide its type; nothing was changed")
    }

    fn bad_source(&self, message: &'static str) -> Error {
        Error::invalid(message).code("bad-source").with("file", self.path.display())
    }

    fn decoder(&self, projection: Vec<usize>) -> Decoder {
        let options = CsvOptions { has_header: Some(false), ..self.options.clone() };
        builder(Arc::clone(self.schema), &options).with_projection(projection).with_batch_size(1).build_decoder()
    }
}

fn decoded(decoder: &mut Decoder, record: &[u8]) -> Result<(), ArrowError> {
    decoder.decode(record)?;
    decoder.decode(&[])?;
    decoder.flush()?;
    Ok(())
}

fn fields(record: &[u8], options: &CsvOptions) -> Vec<Vec<u8>> {
    let (records, _) = crate::files::records::split(record, marks(options));
    records.into_iter().next().unwrap_or_default().fields
}

fn shown(value: &[u8]) -> String {
    String::from_utf8_lossy(value).chars().take(SHOWN_CHARS).collect()
}

struct Raw {
    bytes: Vec<u8>,
    fields: usize,
}

/// Reads the records of a text one by one.
struct Records {
    reader: BufReader<Bytes>,
    ended_within_quotes: bool,
}

impl Records {
    fn new(bytes: Bytes) -> Self {
        Self { reader: BufReader::new(bytes), ended_within_quotes: false }
    }

    fn next(&mut self, splitter: &mut Splitter) -> std::io::Result<Option<Raw>> {
        let mut record = Raw { bytes: Vec::new(), fields: 1 };
        loop {
            let buffer = self.reader.fill_buf()?;
            let mut used = 0;
            let mut is_whole = false;
            for byte in buffer {
                used += 1;
                match splitter.step(*byte) {
                    Step::Field => record.fields += 1,
                    Step::Record => is_whole = true,
                    Step::Nothing | Step::Content(_) => {}
                }
                record.bytes.push(*byte);
                if is_whole {
                    break;
                }
            }
            self.reader.consume(used);
            if used == 0 {
                self.ended_within_quotes |= splitter.is_within_quotes();
                return Ok(splitter.end().then_some(record));
            }
            if is_whole {
                return Ok(Some(record));
            }
        }
    }
}
