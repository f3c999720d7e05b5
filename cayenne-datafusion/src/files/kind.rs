//! The kind of a file, by its name or its first bytes.

use std::path::Path;

use cayenne_format::{Error, Result};
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;

/// The kind of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// Apache Parquet.
    Parquet,
    /// Delimited text.
    Csv,
    /// Text delimited by tabs.
    Tsv,
    /// One JSON object per line.
    Ndjson,
    /// Arrow IPC, file or stream.
    Arrow,
}

impl FileKind {
    /// Says whether files of this kind are delimited text.
    #[must_use]
    pub const fn is_text(self) -> bool {
        matches!(self, Self::Csv | Self::Tsv)
    }

    const fn has_own_compression(self) -> bool {
        matches!(self, Self::Parquet | Self::Arrow)
    }

    fn of_extension(extension: &str) -> Option<Self> {
        Some(match extension {
            "parquet" => Self::Parquet,
            "csv" => Self::Csv,
            "tsv" => Self::Tsv,
            "ndjson" | "jsonl" | "json" => Self::Ndjson,
            "arrow" | "arrows" | "ipc" | "feather" => Self::Arrow,
            _ => return None,
        })
    }

    /// Returns the kind by the first bytes of a file; `Csv` if they are no known signature.
    #[must_use]
    pub fn of_bytes(head: &[u8]) -> Self {
        match head {
            _ if head.starts_with(b"PAR1") => Self::Parquet,
            _ if head.starts_with(b"ARROW1") || head.starts_with(&[0xFF; 4]) => Self::Arrow,
            _ if head.trim_ascii_start().starts_with(b"{") => Self::Ndjson,
            _ => Self::Csv,
        }
    }
}

/// Extensions of compressed files that cannot be read.
const UNREADABLE: [&str; 4] = ["lz4", "br", "zip", "7z"];

/// Returns the extension of a path in lower case, and the path without it.
fn split_extension(path: &Path) -> (String, std::path::PathBuf) {
    (path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase(), path.with_extension(""))
}

fn compression_of_extension(extension: &str) -> FileCompressionType {
    match extension {
        "gz" => FileCompressionType::GZIP,
        "bz2" => FileCompressionType::BZIP2,
        "xz" => FileCompressionType::XZ,
        "zst" => FileCompressionType::ZSTD,
        _ => FileCompressionType::UNCOMPRESSED,
    }
}

/// Returns the compression by the first bytes of a file.
#[must_use]
pub fn compression_of_bytes(head: &[u8]) -> FileCompressionType {
    match head {
        [0x1F, 0x8B, ..] => FileCompressionType::GZIP,
        [b'B', b'Z', b'h', b'1'..=b'9', ..] => FileCompressionType::BZIP2,
        [0xFD, b'7', b'z', b'X', b'Z', 0, ..] => FileCompressionType::XZ,
        [0x28, 0xB5, 0x2F, 0xFD, ..] => FileCompressionType::ZSTD,
        _ => FileCompressionType::UNCOMPRESSED,
    }
}

/// Says whether a name has the extension of a file that can be read.
pub(crate) fn is_name_of_file(name: &str) -> bool {
    kind_of(Path::new(name), None).is_ok()
}

/// Returns the kind of a file, by its name unless `given`, and its compression, by its name.
pub(crate) fn kind_of(path: &Path, given: Option<FileKind>) -> Result<(FileKind, FileCompressionType)> {
    let (extension, rest) = split_extension(path);
    if UNREADABLE.contains(&extension.as_str()) {
        return Err(compressed(path, "unpack it first; .gz, .zst, .bz2 and .xz are read as they are"));
    }
    let compression = compression_of_extension(&extension);
    let extension = if compression.is_compressed() { split_extension(&rest).0 } else { extension };
    let kind = given.or_else(|| FileKind::of_extension(&extension)).ok_or_else(|| {
        Error::invalid("the type of the file is not known from its name")
            .code("unknown-source")
            .with("file", path.display())
            .help("its name must end in .parquet, .csv, .tsv, .ndjson, .json or .arrow")
    })?;
    if compression.is_compressed() && kind.has_own_compression() {
        return Err(compressed(path, "unpack it first; Parquet and Arrow files are compressed inside"));
    }
    Ok((kind, compression))
}

fn compressed(path: &Path, help: &'static str) -> Error {
    Error::unsupported("the compression of the file is not supported")
        .code("compressed-source")
        .with("file", path.display())
        .help(help)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_tells_the_kind_and_the_compression() {
        let kind = |name: &str| kind_of(Path::new(name), None);
        let plain = FileCompressionType::UNCOMPRESSED;
        assert_eq!(kind("a.PARQUET").unwrap(), (FileKind::Parquet, plain));
        assert_eq!(kind("dir.csv/a.jsonl").unwrap(), (FileKind::Ndjson, plain));
        assert_eq!(kind("a.feather").unwrap(), (FileKind::Arrow, plain));
        assert_eq!(kind("a.csv.gz").unwrap(), (FileKind::Csv, FileCompressionType::GZIP));
        assert_eq!(kind("a.json.ZST").unwrap(), (FileKind::Ndjson, FileCompressionType::ZSTD));
        for name in ["a", "a.gz", "csv", ".csv.gz/b"] {
            assert_eq!(kind(name).unwrap_err().stable_code(), "unknown-source", "{name}");
        }
        for name in ["a.csv.zip", "a.parquet.gz"] {
            assert_eq!(kind(name).unwrap_err().stable_code(), "compressed-source", "{name}");
        }
        assert_eq!(kind_of(Path::new("a"), Some(FileKind::Csv)).unwrap(), (FileKind::Csv, plain));
    }

    #[test]
    fn the_first_bytes_tell_them_too() {
        assert_eq!(FileKind::of_bytes(b"PAR1...."), FileKind::Parquet);
        assert_eq!(FileKind::of_bytes(b" \n{\"a\":1}"), FileKind::Ndjson);
        assert_eq!(FileKind::of_bytes(b"id,name"), FileKind::Csv);
        assert_eq!(compression_of_bytes(&[0x1F, 0x8B, 8]), FileCompressionType::GZIP);
        assert_eq!(compression_of_bytes(b"BZip"), FileCompressionType::UNCOMPRESSED);
    }
}
