//! Where the file of the metastore is, and what its folder says about it before a database is asked.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use cayenne_format::{Error, Result};

/// No SQLite database is shorter than its smallest page.
const PAGE_BYTES_MIN: u64 = 512;

/// The place of a metastore file: absolute, so that no name has a special meaning to a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    path: PathBuf,
}

/// What tells one state of a metastore file from another, as long as its WAL is missing or empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    bytes: Option<u64>,
    modified: Option<SystemTime>,
    /// `None` if there is no WAL, as when nobody has the file open.
    pub(crate) wal_bytes: Option<u64>,
}

/// Which file is at a place: it changes when another file is put there, and not with the content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Occupant(Option<(u64, u64)>);

impl Occupant {
    /// Says whether there was a file.
    pub(crate) fn is_some(self) -> bool {
        self.0.is_some()
    }
}

impl Place {
    /// Returns which file is here.
    pub(crate) fn occupant(&self) -> Occupant {
        #[cfg(unix)]
        let found = {
            use std::os::unix::fs::MetadataExt as _;
            self.path.metadata().ok().map(|found| (found.dev(), found.ino()))
        };
        // Elsewhere a file that is open cannot be replaced.
        #[cfg(not(unix))]
        let found = None;
        Occupant(found)
    }

    /// Says that the file that was opened is still here. What is written to one that was moved away, or removed, nobody
    /// would ever find.
    pub(crate) fn require(&self, opened: Occupant) -> Result<()> {
        if self.occupant() == opened {
            return Ok(());
        }
        Err(Error::unavailable("the metastore file was replaced or removed since it was opened")
            .code("metastore-replaced")
            .with("metastore", self.path.display())
            .help("open the database again"))
    }

    /// Finds the file at `path`, which may not exist yet.
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

    /// Says whether there is nothing here yet.
    ///
    /// A file without bytes is nothing: SQLite leaves one behind when it ends before its first write. But if the WAL has
    /// content, there was a database, and SQLite would throw the WAL away.
    pub(crate) fn is_new(&self) -> Result<bool> {
        match length(&self.path).unwrap_or_default() {
            0 => {}
            // SQLite takes some of these for empty and would write over them.
            1..PAGE_BYTES_MIN => {
                return Err(Error::corrupt("the metastore file is too short").with("metastore", self.path.display()));
            }
            _ => return Ok(false),
        }
        if self.wal_bytes().unwrap_or_default() > 0 {
            // Between the two looks another process may have made the file.
            if length(&self.path).unwrap_or_default() > 0 {
                return Ok(false);
            }
            return Err(Error::corrupt("the metastore file is missing or empty, but its write-ahead log is not")
                .with("metastore", self.path.display())
                .help("put the file back beside its '-wal' file"));
        }
        Ok(true)
    }

    /// Says that there is something to read.
    pub(crate) fn require_file(&self) -> Result<()> {
        if self.is_new()? {
            return Err(Error::not_found("there is no metastore here").with("metastore", self.path.display()));
        }
        Ok(())
    }

    /// Makes the names of the file and of its WAL survive a power cut, which Turso leaves to its caller.
    #[cfg(feature = "turso")]
    #[expect(clippy::disallowed_methods, reason = "the storage, which wraps files, is no crate that this one may use")]
    pub(crate) fn flush_names(&self) -> Result<()> {
        // Elsewhere a folder cannot be opened, and needs no flush.
        if cfg!(unix)
            && let Some(folder) = self.path.parent()
        {
            let flushed = std::fs::File::open(folder).and_then(|folder| folder.sync_all());
            flushed.map_err(|error| Error::io("the folder of the metastore cannot be flushed", error))?;
        }
        Ok(())
    }

    /// Flushes the WAL to the disk. What is no longer in it was flushed before it left. No lock of SQLite is on this file,
    /// so that closing it takes none away.
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

    /// Returns the length of the WAL, or `None` if there is none. A file without a WAL is in use by nobody.
    pub(crate) fn wal_bytes(&self) -> Option<u64> {
        length(&self.wal())
    }

    /// Returns what tells this state of the file from another.
    pub(crate) fn stamp(&self) -> Stamp {
        let found = self.path.metadata().ok();
        let modified = found.as_ref().and_then(|found| found.modified().ok());
        Stamp { bytes: found.map(|found| found.len()), modified, wal_bytes: self.wal_bytes() }
    }

    /// Returns the URI that opens the file as one that nobody changes: no lock is taken and no file made.
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
