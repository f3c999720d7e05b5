//! Settings that a process chooses when it opens a database.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;
use std::time::Duration;

use cayenne_format::{Error, Result, TableOptions, path};
use cayenne_metastore::SqliteSettings;
use cayenne_storage::StorageSettings;

/// Default number of commits between manifests. A manifest costs about as much as a few commits, which is negligible
/// after this many.
const MANIFEST_INTERVAL: NonZeroU64 = NonZeroU64::MIN.saturating_add(999);

/// What a process may do with a database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// Read everything, and become the writer of a table with the first write to it.
    #[default]
    ReadWrite,
    /// Read, and see what other processes commit. The process creates no files but reader locks and pins in
    /// `metadata/readers`, which tell writers what it reads. Without permission to create them, reading still works.
    ReadOnly,
}

/// Settings of a process that uses a database.
#[derive(Clone, Debug)]
pub struct DatabaseSettings {
    /// The backend of the metastore. A database keeps the backend that it was created with.
    pub backend: Backend,
    /// Settings of the metastore, for either backend.
    pub metastore: SqliteSettings,
    /// Settings of the file storage.
    pub storage: StorageSettings,
    /// How long a process that does not write a table uses a view before it asks the metastore for a newer one, and a
    /// table name before it looks the name up again. The files of a snapshot also stay for at most this long, and at
    /// most one second, after its last reader in this process has finished. Default one second.
    pub poll_interval: Duration,
    /// Number of commits after which a manifest is written next to the data of a table, besides the one that closing
    /// writes. If the metastore is lost, the commits after the last manifest are lost too. Default 1,000.
    pub manifest_interval: NonZeroU64,
    /// Memory limit of the key index cache, in bytes, for all tables together. Pieces that do not fit are read again.
    /// Default 128 MiB.
    pub key_index_cache_bytes: u64,
    /// Memory limit of the deletion vector cache, in bytes, for all tables together. Default 64 MiB.
    pub deletion_cache_bytes: u64,
    /// Whether upkeep runs in the background for the tables that this process writes, as their options say: compaction,
    /// expiring snapshots that were kept for a time, and removing files that commits have replaced or removed. Default
    /// true.
    pub has_upkeep: bool,
    /// The options of a table that is created without any. Default [`TableOptions::default`].
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

/// The metastore backends that a database may have.
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
