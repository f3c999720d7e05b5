//! The sources of a load: files, patterns, and standard input, which is spooled to a temporary file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cayenne_datafusion::{FileKind, SourceFile, compression_of_bytes, error_of, find_files};
use cayenne_format::{Error, Result};
use datafusion::execution::SpillFile;
use datafusion::prelude::SessionContext;
use tokio::io::AsyncReadExt;

/// The name of standard input in messages.
const STDIN: &str = "standard input";
/// The number of bytes to read from it at a time.
const PIECE_BYTES: usize = 256 * 1024;
/// The number of its first bytes that are used to detect its kind.
const HEAD_BYTES: usize = 1024;

/// Files of one kind, in the order in which they were named; the files of a pattern are ordered by name.
pub(crate) struct Sources {
    pub(crate) kind: FileKind,
    pub(crate) files: Vec<SourceFile>,
    /// Spooled standard input. Its file is removed when this is dropped.
    spooled: Option<Spooled>,
}

struct Spooled {
    path: PathBuf,
    _file: Arc<dyn SpillFile>,
}

impl Sources {
    /// Finds the files that match `patterns`, and detects their kind unless it is given.
    pub(crate) async fn find(session: &SessionContext, patterns: &[PathBuf], kind: Option<FileKind>) -> Result<Self> {
        let (files, spooled) = match patterns {
            [only] if only.as_os_str() == "-" => {
                let (file, spooled) = spool(session, kind).await?;
                (vec![file], Some(spooled))
            }
            _ if patterns.iter().any(|pattern| pattern.as_os_str() == "-") => {
                return Err(Error::invalid("standard input cannot be read together with files")
                    .code("mixed-sources")
                    .help("load it with a separate command, with --append"));
            }
            _ => (find_files(patterns, kind)?, None),
        };
        let kind = files.first().map(|file| file.kind).ok_or_else(|| Error::invalid("no source was named"))?;
        Ok(Self { kind, files, spooled })
    }

    /// Returns the name of a source in messages.
    pub(crate) fn name(&self, path: &Path) -> String {
        match &self.spooled {
            Some(spooled) if spooled.path == path => STDIN.to_owned(),
            _ => path.display().to_string(),
        }
    }

    /// Replaces the path of the temporary file in an error by the name of standard input.
    pub(crate) fn named(&self, error: Error) -> Error {
        let Some(spooled) = &self.spooled else { return error };
        let path = spooled.path.display().to_string();
        let mut made = Error::new(error.kind(), error.message().to_owned()).code(error.stable_code());
        for (name, value) in error.facts() {
            made = made.with(name, value.replace(&path, STDIN));
        }
        if let Some(help) = error.way_to_mend() {
            made = made.help(help.to_owned());
        }
        match std::error::Error::source(&error) {
            Some(source) => made.because(source.to_string().replace(&path, STDIN)),
            None => made,
        }
    }
}

/// Spools standard input to a file: a load reads its files twice, and some kinds are read from their end.
async fn spool(session: &SessionContext, kind: Option<FileKind>) -> Result<(SourceFile, Spooled)> {
    let file = session.runtime_env().disk_manager.create_tmp_file(STDIN).map_err(error_of)?;
    let path = file.path().map(Path::to_owned);
    let path = path.ok_or_else(|| Error::unsupported("standard input needs temporary files on this machine"))?;
    let mut writer = file.open_writer().map_err(error_of)?;
    let mut stdin = tokio::io::stdin();
    let mut piece = vec![0; PIECE_BYTES];
    let (mut head, mut bytes) = (Vec::new(), 0);
    loop {
        let length = stdin.read(&mut piece).await.map_err(|error| Error::io("standard input cannot be read", error))?;
        let read = piece.get(..length).unwrap_or_default();
        if read.is_empty() {
            break;
        }
        head.extend_from_slice(read.get(..HEAD_BYTES.saturating_sub(head.len())).unwrap_or(read));
        head.truncate(HEAD_BYTES);
        bytes += length as u64;
        std::io::Write::write_all(&mut writer, read).map_err(|error| {
            Error::io("standard input cannot be kept in a temporary file", error).with("file", path.display())
        })?;
    }
    writer.finish().map_err(error_of)?;
    let compression = compression_of_bytes(&head);
    // Compressed input is taken for text unless its kind is given.
    let kind =
        kind.unwrap_or_else(|| if compression.is_compressed() { FileKind::Csv } else { FileKind::of_bytes(&head) });
    Ok((SourceFile { path: path.clone(), bytes, kind, compression }, Spooled { path, _file: file }))
}
