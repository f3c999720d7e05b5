//! Checks by the lengths that they state whether Parquet and Arrow files are complete.
//!
//! The libraries that read these files trust the lengths. For a truncated or foreign file they would allocate gigabytes
//! or panic, and an Arrow stream that was cut off between two batches would be read as a shorter stream.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use cayenne_format::{Error, Result as CayenneResult};
use datafusion::arrow::ipc::{Block, root_as_footer, root_as_message};

use crate::files::kind::FileKind;

const PARQUET_MAGIC: &[u8] = b"PAR1";
const ARROW_MAGIC: &[u8] = b"ARROW1";
/// Length in bytes of the footer length and the magic at the end of a Parquet file.
const PARQUET_TAIL_BYTES: u64 = 8;
/// Length in bytes of the footer length and the magic at the end of an Arrow file.
const ARROW_TAIL_BYTES: u64 = 10;
/// Length in bytes of the magic and its padding at the beginning of an Arrow file.
const ARROW_HEAD_BYTES: u64 = 8;
/// The marker at the start of every message of an Arrow stream; the length of the message's metadata follows it.
const CONTINUATION: u32 = u32::MAX;

/// Checks the lengths and the magic of a Parquet or Arrow file. Files of other kinds are not checked.
///
/// # Errors
///
/// `Invalid` if the file was cut off, or is of another kind.
pub fn check_outside(path: &Path, kind: FileKind) -> CayenneResult<()> {
    let whole = match kind {
        FileKind::Parquet => check_parquet(path),
        FileKind::Arrow => check_arrow(path),
        FileKind::Csv | FileKind::Tsv | FileKind::Ndjson => Ok(()),
    };
    whole.map_err(|why| {
        Error::invalid("the source file cannot be read")
            .code("bad-source")
            .with("file", path.display())
            .because(why)
            .help("fix the file, or leave it out; nothing was changed")
    })
}

/// Checks a Parquet file. The error says what is wrong.
fn check_parquet(path: &Path) -> Result<(), String> {
    let file = Bytes::open(path)?;
    let head = file.read(0, 4)?;
    let tail = file.read(file.length.saturating_sub(PARQUET_TAIL_BYTES), PARQUET_TAIL_BYTES)?;
    if head != PARQUET_MAGIC {
        return Err("it does not begin like a Parquet file".to_owned());
    }
    let Some((length, magic)) = tail.split_first_chunk::<4>() else {
        return Err("it ends too early".to_owned());
    };
    if magic != PARQUET_MAGIC {
        return Err("it does not end like a Parquet file; it may have been cut off".to_owned());
    }
    let around = PARQUET_TAIL_BYTES + PARQUET_MAGIC.len() as u64;
    if u64::from(u32::from_le_bytes(*length)) > file.length.saturating_sub(around) {
        return Err("its footer is longer than the file".to_owned());
    }
    Ok(())
}

/// Checks an Arrow file or stream. The error says what is wrong.
fn check_arrow(path: &Path) -> Result<(), String> {
    let file = Bytes::open(path)?;
    if file.read(0, ARROW_MAGIC.len() as u64)? == ARROW_MAGIC { check_arrow_file(&file) } else { check_stream(&file) }
}

fn check_arrow_file(file: &Bytes) -> Result<(), String> {
    let tail = file.read(file.length.saturating_sub(ARROW_TAIL_BYTES), ARROW_TAIL_BYTES)?;
    let (length, magic) = tail.split_first_chunk::<4>().ok_or("it ends too early")?;
    if magic != ARROW_MAGIC {
        return Err("it does not end like an Arrow file; it may have been cut off".to_owned());
    }
    let length = u64::from(u32::from_le_bytes(*length));
    let start = file.length.checked_sub(ARROW_TAIL_BYTES + length).filter(|start| *start >= ARROW_HEAD_BYTES);
    let start = start.ok_or("its footer is longer than the file")?;
    let footer = file.read(start, length)?;
    let footer = root_as_footer(&footer).map_err(|error| format!("its footer cannot be read: {error}"))?;
    let blocks = footer.recordBatches().into_iter().chain(footer.dictionaries()).flatten();
    for block in blocks {
        if end_of(block).is_none_or(|end| end > start) {
            return Err("it names rows beyond its end".to_owned());
        }
    }
    Ok(())
}

fn end_of(block: &Block) -> Option<u64> {
    let described = u64::try_from(block.offset()).ok()?.checked_add(u64::try_from(block.metaDataLength()).ok()?)?;
    described.checked_add(u64::try_from(block.bodyLength()).ok()?)
}

/// Steps from message to message until the end-of-stream marker.
fn check_stream(file: &Bytes) -> Result<(), String> {
    let cut = || "the stream has no end; it may have been cut off".to_owned();
    let mut at = 0;
    loop {
        let prefix = file.read(at, 8).map_err(|_| cut())?;
        let (continuation, length) = prefix.split_first_chunk::<4>().ok_or_else(cut)?;
        if u32::from_le_bytes(*continuation) != CONTINUATION {
            return Err("it is neither an Arrow file nor an Arrow stream".to_owned());
        }
        let length = u64::from(u32::from_le_bytes(length.try_into().map_err(|_| cut())?));
        if length == 0 {
            return Ok(());
        }
        if length > file.length.saturating_sub(at + 8) {
            return Err(cut());
        }
        let message = file.read(at + 8, length)?;
        let message = root_as_message(&message).map_err(|error| format!("a message cannot be read: {error}"))?;
        let body = u64::try_from(message.bodyLength()).map_err(|_| "a message has no length")?;
        at = (at + 8 + length).checked_add(body).filter(|end| *end <= file.length).ok_or_else(cut)?;
    }
}

/// A file from which ranges of bytes are read.
struct Bytes {
    file: File,
    length: u64,
}

impl Bytes {
    #[expect(clippy::disallowed_methods, reason = "a source is named by the user and no part of a database")]
    fn open(path: &Path) -> Result<Self, String> {
        let opened = File::open(path).and_then(|file| Ok(Self { length: file.metadata()?.len(), file }));
        opened.map_err(|error| error.to_string())
    }

    fn read(&self, at: u64, length: u64) -> Result<Vec<u8>, String> {
        let end = at.checked_add(length).filter(|end| *end <= self.length);
        let length = end.and_then(|_| usize::try_from(length).ok()).ok_or("it is too short")?;
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, at).map_err(|error: io::Error| error.to_string())?;
        Ok(bytes)
    }
}
