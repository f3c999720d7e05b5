//! The SQLite backend: one file in WAL mode, shared with other processes.

pub(crate) mod connect;
mod connection;
mod failure;
mod reader;

use std::path::Path;
use std::sync::Arc;

use cayenne_format::{Error, Result, Steps};

use self::connection::SqlitePrimary;
use self::failure::OrFailure as _;
use self::reader::Neighbours;
use crate::place::Place;
use crate::settings::SqliteSettings;
use crate::sql::identity::{self, Identity};
use crate::sql::{Database, Writer};

/// A metastore in one SQLite file.
///
/// Its futures need no runtime: its own threads do the work. Dropping it finishes the pending work and closes the file
/// in the background; [`close`](crate::Metastore::close) also tidies up, and returns when both are done.
pub struct SqliteMetastore {
    pub(crate) database: Database,
}

impl SqliteMetastore {
    /// Opens the metastore at `path`, and creates it if the file is missing or empty.
    ///
    /// `steps` is called before each step of a commit. A file of an older version is migrated to that of this build.
    ///
    /// # Errors
    ///
    /// `Unsupported` with code `newer-metastore` or `foreign-metastore` for a file that another build or application
    /// wrote; `Corrupt` for a damaged one; `NotFound` if its folder does not exist; `Invalid` for a path or settings
    /// that cannot be used; `Unavailable` with code `metastore-busy` if another process holds it longer than the busy
    /// timeout.
    pub async fn open(path: impl AsRef<Path>, settings: SqliteSettings, steps: Arc<dyn Steps>) -> Result<Self> {
        settings.validate()?;
        let place = Place::find(path.as_ref())?;
        let of_writer = settings.clone();
        let writer = Writer::open(place.clone(), steps, move |place| open(place, &of_writer)).await?;
        let readers = reader::start(&place, &settings, Neighbours::OwnWriter)?;
        Ok(Self { database: Database { place, readers, writer: Some(writer) } })
    }

    /// Opens the metastore at `path` for reading. It sees commits of other processes as soon as they are durable.
    ///
    /// It creates no file while no process writes the metastore, so the folder may be write-protected.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open); also `NotFound` if there is no metastore. Every change returns `Invalid` with code
    /// `read-only`. A metastore of an earlier version is read without a migration.
    pub async fn open_read_only(path: impl AsRef<Path>, settings: SqliteSettings) -> Result<Self> {
        settings.validate()?;
        let place = Place::find(path.as_ref())?;
        place.require_file()?;
        let readers = reader::start(&place, &settings, Neighbours::Unknown)?;
        readers.read(identity::check_small_tables).await?;
        Ok(Self { database: Database { place, readers, writer: None } })
    }

    /// Returns the number of transactions that have changed the file since it was opened. Changes that wait together
    /// share one.
    #[must_use]
    pub fn transactions(&self) -> u64 {
        self.database.transactions()
    }
}

/// Opens the file for writing, and creates it or migrates it to the version of this build.
pub(crate) fn open(place: &Place, settings: &SqliteSettings) -> Result<SqlitePrimary> {
    place.is_new()?;
    let connection = connect::writable(place, settings)?;
    let found = identity::identify(&connection)?;
    // A version number in the header that this SQLite cannot write is detected only after the header has been read.
    if connection.is_readonly("main").or_failure()? {
        return Err(Error::corrupt("the header of the metastore file is damaged"));
    }
    connect::enter_wal_mode(&connection)?;
    if !identity::is_current(found) {
        identity::migrate(&connection)?;
    }
    if found != Identity::New {
        identity::check_small_tables(&connection)?;
    }
    Ok(SqlitePrimary { connection, place: place.clone(), settings: settings.clone() })
}
