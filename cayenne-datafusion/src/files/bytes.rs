//! The decompressed bytes of a text file, with a check for a quote that is never closed.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cayenne_format::{Error, Result};
use datafusion::common::config::CsvOptions;
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;

use crate::error::error_of;
use crate::files::kind::compression_of_bytes;

/// Number of bytes of a text from which its dialect is detected.
const SAMPLE_BYTES: u64 = 256 * 1024;

/// The decompressed bytes of a text.
pub(crate) type Bytes = Box<dyn Read + Send>;

/// The beginning of a text.
#[derive(Debug)]
pub(crate) struct Sample {
    pub(crate) bytes: Vec<u8>,
    /// Whether the sample is the whole text.
    pub(crate) is_whole: bool,
}

/// Opens a file that the user names.
#[expect(clippy::disallowed_methods, reason = "a source is named by the user and no part of a database")]
pub(crate) fn open(path: &Path) -> Result<File> {
    File::open(path).map_err(|error| Error::io("the source file cannot be opened", error).with("file", path.display()))
}

/// Decompresses the bytes of a file.
pub(crate) fn unpacked(file: File, options: &CsvOptions) -> Result<Bytes> {
    FileCompressionType::from(options.compression).convert_read(file).map_err(error_of)
}

/// Reads a sample from the beginning of a text.
pub(crate) fn sample(path: &Path, compression: FileCompressionType) -> Result<Sample> {
    let text = compression.convert_read(open(path)?).map_err(error_of)?;
    let mut bytes = Vec::new();
    let read = text.take(SAMPLE_BYTES + 1).read_to_end(&mut bytes);
    read.map_err(|error| unreadable(path, error, compression))?;
    if bytes.is_empty() {
        return Err(Error::invalid("the source file is empty").code("empty-source").with("file", path.display()));
    }
    if !compression.is_compressed() && compression_of_bytes(&bytes).is_compressed() {
        return Err(Error::invalid("the file is compressed, but its name does not say so")
            .code("bad-source")
            .with("file", path.display())
            .help("rename it to end in .csv.gz, .csv.zst or .csv.bz2"));
    }
    let is_whole = bytes.len() as u64 <= SAMPLE_BYTES;
    Ok(Sample { bytes, is_whole })
}

/// Returns the error for a file whose bytes cannot be read.
pub(crate) fn unreadable(path: &Path, error: io::Error, compression: FileCompressionType) -> Error {
    let help = if compression.is_compressed() {
        "it is damaged, cut off, or not compressed as its name says; nothing was changed"
    } else {
        "fix the file, or leave it out; nothing was changed"
    };
    Error::invalid("the source file cannot be read")
        .code("bad-source")
        .with("file", path.display())
        .because(error)
        .help(help)
}

/// Counts the quotes of a text while it is read. If no quote is missing, their number is even at the end.
pub(crate) struct QuoteCounter {
    bytes: Bytes,
    quote: u8,
    quotes: Arc<AtomicU64>,
}

impl QuoteCounter {
    /// Returns a reader, and the number of quotes read so far.
    pub(crate) fn new(bytes: Bytes, quote: u8) -> (Self, Arc<AtomicU64>) {
        let quotes = Arc::new(AtomicU64::new(0));
        (Self { bytes, quote, quotes: Arc::clone(&quotes) }, quotes)
    }
}

impl Read for QuoteCounter {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.bytes.read(buffer)?;
        let read = buffer.get(..length).unwrap_or_default();
        self.quotes.fetch_add(count(read, self.quote), Ordering::Relaxed);
        Ok(length)
    }
}

/// Counts how often a byte occurs. Chunks are short enough to be counted in one byte, so that the compiler generates
/// vector instructions with as many lanes as possible.
fn count(bytes: &[u8], wanted: u8) -> u64 {
    let counts = bytes.chunks(usize::from(u8::MAX));
    counts.map(|bytes| u64::from(bytes.iter().map(|byte| u8::from(*byte == wanted)).sum::<u8>())).sum()
}

#[cfg(test)]
mod tests {
    use super::count;

    #[test]
    fn each_byte_is_counted() {
        assert_eq!(count(&[], b'"'), 0);
        assert_eq!(count(&[b'"'; 1000], b'"'), 1000);
        assert_eq!(count(b"a\"b\"\"c", b'"'), 3);
    }
}
