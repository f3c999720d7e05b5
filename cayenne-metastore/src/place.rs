//! The location of the metastore file, and what the file system tells about it before a database opens it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use cayenne_format::{Error, Result};

/// A SQLite database is at least as long as its smallest page.
const PAGE_BYTES_MIN: u64 = 512;

/// The location of a metastore file. The path is absolute, so that no name has a special meaning to a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    path: PathBuf,
}

/// Distinguishes two states of a metastore file, as long as its WAL is missing or empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    bytes: Option<u64>,
    modified: Option<SystemTime>,
    /// `None` if there is no WAL, as when no process has the file open.
    pub(crate) wal_bytes: Option<u64>,
}

/// Identifies the file at a place. It changes when another file is put there, but not when the content changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Occupant(Option<(u64, u64)>);

impl Occupant {
    /// Returns whether there is a file.
    pub(crate) fn is_some(self) -> bool {
        self.0.is_some()
    }
}

impl Place {
    /// Returns the identity of the file here.
    pub(crate) fn occupant(&self) -> Occupant {
        #[cfg(unix)]
        let found = {
            use std::os::unix::fs::MetadataExt as _;
            self.path.metadata().ok().map(|found| (found.dev(), found.ino()))
        };
        // On other systems an open file cannot be replaced.
        #[cfg(not(unix))]
        let found = None;
        Occupant(found)
    }

    /// Fails unless the opened file is still here. If it was moved away or removed, its path no longer leads to what is
    /// written to it.
    pub(crate) fn require(&self, opened: Occupant) -> Result<()> {
        if self.occupant() == opened {
            return Ok(());
        }
        Err(Error::unavailable("the metastore file was replaced or removed since it was opened")
            .code("metastore-replaced")
            .with("metastore", self.path.display())
            .help("open the database again"))
    }

    /// Returns the place of the file at `path`, which may not exist yet.
    pub(crate) fn find(path: &Path) -> Result<Self> {
        let named = |message: &'static str| Error::invalid(message).with("metastore", path.display());
        let absolute = path.canonicalize().or_else(|_| std::path::absolute(path));
        let absolute = absolute.map_err(|error| named("the path of the metastore cannot be used").because(error))?;
        if absolute.is_dir() {
            return Err(named("the path of the metastore is a folder"));
        }
        match absolute.parent() {
            Some(parent) if parent.is_dir() => Ok(Self { path: absolute }),
            Some(parent) if parent.exists() => Err(named("the folder of the metastore is a file")),
            _ => Err(Error::not_found("the folder of the metastore does not exist").with("metastore", path.display())),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns whether there is no metastore here yet.
    ///
    /// An empty file counts as new: SQLite leaves one behind when it ends before its first write. An empty file with a
    /// non-empty WAL is an error: there was a database, and SQLite would discard the WAL.
    pub(crate) fn is_new(&self) -> Result<bool> {
        match length(&self.path).unwrap_or_default() {
            0 => {}
            // SQLite takes some files of this length for empty and would overwrite them.
            1..PAGE_BYTES_MIN => {
                return Err(Error::corrupt("the metastore file is too short").with("metastore", self.path.display()));
            }
            _ => return Ok(false),
        }
        if self.wal_bytes().unwrap_or_default() > 0 {
            // Another process may have created the file between the two checks.
            if length(&self.path).unwrap_or_default() > 0 {
                return Ok(false);
            }
            return Err(Error::corrupt("the metastore file is missing or empty, but its write-ahead log is not")
                .with("metastore", self.path.display())
                .help("put the file back beside its '-wal' file"));
        }
        Ok(true)
    }

    /// Fails unless there is a metastore to read.
    pub(crate) fn require_file(&self) -> Result<()> {
        if self.is_new()? {
            return Err(Error::not_found("there is no metastore here").with("metastore", self.path.display()));
        }
        Ok(())
    }

    /// Flushes the folder, so that the names of the file and its WAL survive a power cut. Turso leaves this to its
    /// caller.
    #[cfg(feature = "turso")]
    #[expect(clippy::disallowed_methods, reason = "the storage, which wraps files, is no crate that this one may use")]
    pub(crate) fn flush_names(&self) -> Result<()> {
        // On other systems a folder cannot be opened, and needs no flush.
        if cfg!(unix)
            && let Some(folder) = self.path.parent()
        {
            let flushed = std::fs::File::open(folder).and_then(|folder| folder.sync_all());
            flushed.map_err(|error| Error::io("the folder of the metastore cannot be flushed", error))?;
        }
        Ok(())
    }

    /// Flushes the WAL to the disk. Frames that have left the WAL were flushed before they left. SQLite holds no lock
    /// on the WAL file, so closing it here releases none.
    #[expect(clippy::disallowed_methods, reason = "the storage, which wraps files, is no crate that this one may use")]
    pub(crate) fn flush_wal(&self) -> Result<()> {
        match std::fs::File::open(self.wal()).and_then(|wal| wal.sync_all()) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            flushed => flushed.map_err(|error| {
                Error::io("the write-ahead log cannot be flushed", error).with("metastore", self.path.display())
            }),
        }
    }

    fn wal(&self) -> PathBuf {
        let mut wal = self.path.clone().into_os_string();
        wal.push("-wal");
        wal.into()
    }

    /// Returns the length of the WAL in bytes, or `None` if there is none. No process uses a file without a WAL.
    pub(crate) fn wal_bytes(&self) -> Option<u64> {
        length(&self.wal())
    }

    /// Returns the current state of the file, to compare with a later one.
    pub(crate) fn stamp(&self) -> Stamp {
        let found = self.path.metadata().ok();
        let modified = found.as_ref().and_then(|found| found.modified().ok());
        Stamp { bytes: found.map(|found| found.len()), modified, wal_bytes: self.wal_bytes() }
    }

    /// Returns the URI that opens the file as immutable: SQLite takes no lock and creates no file.
    pub(crate) fn immutable_uri(&self) -> String {
        let mut uri = String::from("file:");
        if !self.path.as_os_str().as_encoded_bytes().starts_with(b"/") {
            uri.push('/');
        }
        for byte in self.path.as_os_str().as_encoded_bytes() {
            if byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'.' | b'_' | b'-' | b':') {
                uri.push(char::from(*byte));
            } else {
                // Writing to a String cannot fail.
                let _infallible = write!(uri, "%{byte:02X}");
            }
        }
        uri.push_str("?immutable=1");
        uri
    }
}

fn length(path: &Path) -> Option<u64> {
    path.metadata().ok().map(|found| found.len())
}
