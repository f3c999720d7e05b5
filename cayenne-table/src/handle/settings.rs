//! What a process chooses when it opens a database.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;
use std::time::Duration;

use cayenne_format::{Error, Result, TableOptions, path};
use cayenne_metastore::SqliteSettings;
use cayenne_storage::StorageSettings;

/// A manifest costs about as much as a few commits: after so many of them that is nothing.
const MANIFEST_INTERVAL: NonZeroU64 = NonZeroU64::MIN.saturating_add(999);

/// What a process may do with a database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// Read everything, and become the writer of a table with the first write to it.
    #[default]
    ReadWrite,
    /// Read, and see what other processes commit. The only files made are those that tell writers what is read, in
    /// `metadata/readers`; without permission to make them reading works too.
    ReadOnly,
}

/// Numbers of a process that uses a database.
#[derive(Clone, Debug)]
pub struct DatabaseSettings {
    /// Which metastore keeps the tables. A database is made with one of them and stays with it.
    pub backend: Backend,
    /// Of the metastore, whichever it is.
    pub metastore: SqliteSettings,
    /// Of the files.
    pub storage: StorageSettings,
    /// How long a view may be used before the metastore is asked for a newer one, and a name before it is asked whose it
    /// is, in a process that does not write the table. For so long, and for a second at most, files of a snapshot also stay
    /// after the last reader of this process. Default one second.
    pub poll_interval: Duration,
    /// After how many commits a manifest is written beside the data of a table, besides the one that closing writes. What
    /// was committed since is lost with the metastore. Default 1,000.
    pub manifest_interval: NonZeroU64,
    /// The bytes that pieces of key indexes may take in memory, of all tables together; what does not fit is read again.
    /// Default 128 MiB.
    pub key_index_cache_bytes: u64,
    /// The bytes that deletion vectors may take in memory, of all tables together. Default 64 MiB.
    pub deletion_cache_bytes: u64,
    /// Whether tables that this process writes look after themselves in the background, as their options say: they are
    /// compacted, snapshots that were kept for a time are given up, and files that commits took away are removed. Default
    /// true.
    pub has_upkeep: bool,
    /// The options of a table that is made without any. Default [`TableOptions::default`].
    pub table_options: TableOptions,
}

impl Default for DatabaseSettings {
    fn default() -> Self {
        Self {
            backend: Backend::default(),
            metastore: SqliteSettings::default(),
            storage: StorageSettings::default(),
            poll_interval: Duration::from_secs(1),
            manifest_interval: MANIFEST_INTERVAL,
            key_index_cache_bytes: 128 * 1024 * 1024,
            deletion_cache_bytes: 64 * 1024 * 1024,
            has_upkeep: true,
            table_options: TableOptions::default(),
        }
    }
}

/// The metastores that a database may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Backend {
    /// SQLite: any number of processes read while others write. The default.
    #[default]
    Sqlite,
    /// Turso: one process at a time. Needs a build with the feature `turso`.
    Turso,
}

impl Backend {
    pub(crate) const ALL: [Self; 2] = [Self::Sqlite, Self::Turso];

    /// Returns the name of its file in the metadata folder.
    pub(crate) const fn file(self) -> &'static str {
        match self {
            Self::Sqlite => path::METASTORE_FILE,
            Self::Turso => path::TURSO_METASTORE_FILE,
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sqlite => "sqlite",
            Self::Turso => "turso",
        })
    }
}

impl FromStr for Backend {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|backend| backend.to_string() == text.to_ascii_lowercase());
        found.ok_or_else(|| {
            Error::invalid("unknown metastore")
                .with("setting", "metastore")
                .with("found", text)
                .help("use 'sqlite' or 'turso'")
        })
    }
}
