//! Which files a load reads, and what they are.

use std::path::{Path, PathBuf};

use cayenne_format::{Error, Result};
use clap::ValueEnum;

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum FileKind {
    /// Apache Parquet
    Parquet,
    /// Comma-separated values with a header
    Csv,
    /// Tab-separated values with a header
    Tsv,
    /// One JSON object per line
    Ndjson,
    /// Arrow IPC, file or stream
    Arrow,
}

impl FileKind {
    fn of(extension: &str) -> Option<Self> {
        Some(match extension {
            "parquet" => Self::Parquet,
            "csv" => Self::Csv,
            "tsv" => Self::Tsv,
            "ndjson" | "jsonl" | "json" => Self::Ndjson,
            "arrow" | "arrows" | "ipc" | "feather" => Self::Arrow,
            _ => return None,
        })
    }
}

/// What the names of compressed files end in.
const COMPRESSED: [&str; 7] = ["gz", "bz2", "xz", "zst", "lz4", "br", "zip"];

/// A file that is there.
#[derive(Clone, Debug)]
pub(crate) struct SourceFile {
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
}

/// Files of one kind, in the order in which they were named, those of a pattern by name.
#[derive(Clone, Debug)]
pub(crate) struct Sources {
    pub(crate) kind: FileKind,
    pub(crate) files: Vec<SourceFile>,
}

/// Finds the files that `patterns` name, and what they are unless that is given.
pub(crate) fn find_sources(patterns: &[PathBuf], kind: Option<FileKind>) -> Result<Sources> {
    let mut files = Vec::new();
    for pattern in patterns {
        for path in paths(pattern)? {
            files.push(source_file(path)?);
        }
    }
    let kind = common_kind(&files, kind)?;
    Ok(Sources { kind, files })
}

/// A name that exists is taken as it is, so that a file called `a[1].csv` can be loaded too.
fn paths(pattern: &Path) -> Result<Vec<PathBuf>> {
    let text = pattern.to_str().filter(|text| text.contains(['*', '?', '[']));
    let Some(text) = text.filter(|_| !pattern.exists()) else {
        return Ok(vec![pattern.to_owned()]);
    };
    let invalid = |error| Error::invalid("the pattern cannot be read").with("pattern", text).because(error);
    let found = glob::glob(text).map_err(|error| invalid(Box::new(error)))?;
    let unreadable =
        |error: glob::GlobError| Error::io("a folder cannot be searched", error.into()).with("pattern", text);
    let paths = found.collect::<Result<Vec<_>, _>>().map_err(unreadable)?;
    let files: Vec<PathBuf> = paths.into_iter().filter(|path| !path.is_dir()).collect();
    if files.is_empty() {
        return Err(Error::not_found("no file matches the pattern").code("source-not-found").with("pattern", text));
    }
    Ok(files)
}

fn source_file(path: PathBuf) -> Result<SourceFile> {
    let metadata = path.metadata().map_err(|error| {
        let missing = error.kind() == std::io::ErrorKind::NotFound;
        let made = Error::io("the source file cannot be opened", error).with("file", path.display());
        if missing { made.code("source-not-found") } else { made }
    })?;
    if metadata.is_dir() {
        return Err(Error::invalid("the source is a folder")
            .code("bad-source")
            .with("file", path.display())
            .help("name its files with a pattern such as 'folder/*.parquet'"));
    }
    if !metadata.is_file() {
        return Err(Error::invalid("the source is not a regular file").code("bad-source").with("file", path.display()));
    }
    Ok(SourceFile { path, bytes: metadata.len() })
}

fn common_kind(files: &[SourceFile], given: Option<FileKind>) -> Result<FileKind> {
    let mut common: Option<(FileKind, &SourceFile)> = None;
    for file in files {
        let kind = kind_of(&file.path, given)?;
        match common {
            Some((first, other)) if first != kind => {
                return Err(Error::invalid("the sources are of different kinds")
                    .code("mixed-sources")
                    .with("file", other.path.display())
                    .with("other_file", file.path.display())
                    .help("load each kind by a command of its own"));
            }
            _ => common = Some((kind, file)),
        }
    }
    common.map(|(kind, _)| kind).ok_or_else(|| Error::invalid("no source was named"))
}

fn kind_of(path: &Path, given: Option<FileKind>) -> Result<FileKind> {
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    if COMPRESSED.contains(&extension.as_str()) {
        return Err(Error::unsupported("compressed source files are not read")
            .code("compressed-source")
            .with("file", path.display())
            .help("unpack it first; Parquet and Arrow files may be compressed inside"));
    }
    given.or_else(|| FileKind::of(&extension)).ok_or_else(|| {
        Error::invalid("the name of the file does not tell what it is")
            .code("unknown-source")
            .with("file", path.display())
            .help("say it with --input-format parquet, csv, tsv, ndjson or arrow")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_tells_the_kind() {
        let kind = |name: &str| kind_of(Path::new(name), None);
        assert_eq!(kind("a.PARQUET").unwrap(), FileKind::Parquet);
        assert_eq!(kind("dir.csv/a.jsonl").unwrap(), FileKind::Ndjson);
        assert_eq!(kind("a.feather").unwrap(), FileKind::Arrow);
        assert_eq!(kind("a").unwrap_err().stable_code(), "unknown-source");
        assert_eq!(kind("a.csv.gz").unwrap_err().stable_code(), "compressed-source");
        assert_eq!(kind_of(Path::new("a"), Some(FileKind::Csv)).unwrap(), FileKind::Csv);
    }

    #[test]
    fn different_kinds_are_refused_by_name() {
        let file = |name: &str| SourceFile { path: name.into(), bytes: 1 };
        let error = common_kind(&[file("a.csv"), file("b.parquet")], None).unwrap_err();
        assert_eq!(error.facts().collect::<Vec<_>>(), [("file", "a.csv"), ("other_file", "b.parquet")]);
        assert_eq!(common_kind(&[file("a.csv"), file("b.txt")], Some(FileKind::Csv)).unwrap(), FileKind::Csv);
    }
}
