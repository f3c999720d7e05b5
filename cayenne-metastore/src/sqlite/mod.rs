//! The backend on SQLite: one file in WAL mode, shared with other processes.

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
/// Its futures need no runtime: the work is done by threads of its own. Dropping it finishes what was asked and closes
/// the file, in the background; [`close`](crate::Metastore::close) does so before it returns, and tidies up.
pub struct SqliteMetastore {
    pub(crate) database: Database,
}

impl SqliteMetastore {
    /// Opens the metastore at `path`, and makes it if there is no file or one without bytes.
    ///
    /// `steps` is told of the steps of each commit. A file of an older version is brought to that of this build.
    ///
    /// # Errors
    ///
    /// `Unsupported` with code `newer-metastore` or `foreign-metastore` for a file that another build or application
    /// wrote; `Corrupt` for a damaged one; `NotFound` if its folder does not exist; `Invalid` for a path or settings that
    /// cannot be used; `Unavailable` with code `metastore-busy` if another process keeps it for too long.
    pub async fn open(path: impl AsRef<Path>, settings: SqliteSettings, steps: Arc<dyn Steps>) -> Result<Self> {
        settings.validate()?;
        let place = Place::find(path.as_ref())?;
        let of_writer = settings.clone();
        let writer = Writer::open(place.clone(), steps, move |place| open(place, &of_writer)).await?;
        let readers = reader::start(&place, &settings, Neighbours::OwnWriter)?;
        Ok(Self { database: Database { place, readers, writer: Some(writer) } })
    }

    /// Opens the metastore at `path` for reading. Commits of other processes are seen as soon as they are durable.
    ///
    /// No file is made while nobody writes the metastore, so a folder without write permission will do.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open); also `NotFound` if there is no metastore. Everything that would change it returns `Invalid`
    /// with code `read-only`. One of an earlier version is read as it is.
    pub async fn open_read_only(path: impl AsRef<Path>, settings: SqliteSettings) -> Result<Self> {
        settings.validate()?;
        let place = Place::find(path.as_ref())?;
        place.require_file()?;
        let readers = reader::start(&place, &settings, Neighbours::Unknown)?;
        readers.read(identity::check_small_tables).await?;
        Ok(Self { database: Database { place, readers, writer: None } })
    }

    /// Returns how many transactions have changed the file since it was opened. Changes that wait together share one.
    #[must_use]
    pub fn transactions(&self) -> u64 {
        self.database.transactions()
    }
}

/// Opens the file for writing, and makes it, or brings it to the version of this build.
pub(crate) fn open(place: &Place, settings: &SqliteSettings) -> Result<SqlitePrimary> {
    place.is_new()?;
    let connection = connect::writable(place, settings)?;
    let found = identity::identify(&connection)?;
    // A version number in the header that this SQLite cannot write shows only once the header has been read.
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
