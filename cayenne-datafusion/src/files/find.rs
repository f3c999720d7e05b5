//! Resolves names and patterns to files.

use std::path::{Path, PathBuf};

use cayenne_format::{Error, Result};
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;

use crate::files::kind::{FileKind, kind_of};

/// A file that exists.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceFile {
    /// The path of the file.
    pub path: PathBuf,
    /// The size of the file as it is stored, in bytes.
    pub bytes: u64,
    /// The kind of the file.
    pub kind: FileKind,
    /// The compression of the file.
    pub compression: FileCompressionType,
}

/// Returns the files that `patterns` name, in the order of the patterns; the files of one pattern are sorted by name.
/// All files are of one kind.
///
/// # Errors
///
/// `NotFound` for a missing file, and for a pattern without a match; `Invalid` for a folder, for anything else that is
/// not a regular file, for files of different kinds, and if `kind` is `None` and cannot be told from the name.
pub fn find_files(patterns: &[PathBuf], kind: Option<FileKind>) -> Result<Vec<SourceFile>> {
    let mut files = Vec::new();
    for pattern in patterns {
        for path in paths(pattern)? {
            files.push(source_file(path, kind)?);
        }
    }
    refuse_different_kinds(&files)?;
    Ok(files)
}

/// Returns the paths that match a pattern. A name that exists is taken literally, so that a file called `a[1].csv` can
/// be read.
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

fn source_file(path: PathBuf, kind: Option<FileKind>) -> Result<SourceFile> {
    let metadata = path.metadata().map_err(|error| {
        let missing = error.kind() == std::io::ErrorKind::NotFound;
        let made = Error::io("the source file cannot be opened", error).with("file", path.display());
        if missing { made.code("source-not-found") } else { made }
    })?;
    if metadata.is_dir() {
        return Err(Error::invalid("the source is a folder")
            .code("bad-source")
            .with("file", path.display())
            .help("use a pattern for its files, such as 'folder/*.parquet'"));
    }
    if !metadata.is_file() {
        return Err(Error::invalid("the source is not a regular file").code("bad-source").with("file", path.display()));
    }
    let (kind, compression) = kind_of(&path, kind)?;
    Ok(SourceFile { path, bytes: metadata.len(), kind, compression })
}

fn refuse_different_kinds(files: &[SourceFile]) -> Result<()> {
    let Some((first, others)) = files.split_first() else {
        return Err(Error::invalid("no source was named"));
    };
    match others.iter().find(|file| file.kind != first.kind) {
        None => Ok(()),
        Some(other) => Err(Error::invalid("the sources are of different kinds")
            .code("mixed-sources")
            .with("file", first.path.display())
            .with("other_file", other.path.display())
            .help("use a separate statement or command for each kind")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn different_kinds_are_refused_by_name() {
        let file = |name: &str| {
            let (kind, compression) = kind_of(Path::new(name), None).unwrap();
            SourceFile { path: name.into(), bytes: 1, kind, compression }
        };
        let error = refuse_different_kinds(&[file("a.csv"), file("b.parquet")]).unwrap_err();
        assert_eq!(error.facts().collect::<Vec<_>>(), [("file", "a.csv"), ("other_file", "b.parquet")]);
        refuse_different_kinds(&[file("a.csv"), file("b.csv.gz")]).unwrap();
    }
}
