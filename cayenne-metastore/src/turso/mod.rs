//! The Turso backend: one file in WAL mode, for one process at a time.

mod connect;
mod connection;
mod failure;

use std::path::Path;
use std::sync::Arc;

use cayenne_format::{Result, Steps};

use self::connect::SharedFile;
use self::connection::{TursoConnection, TursoPrimary};
use crate::place::Place;
use crate::settings::SqliteSettings;
use crate::sql::failure::while_opening;
use crate::sql::identity::{self, Identity};
use crate::sql::{Connection as _, Database, Question, Readers, Source, Writer, in_transaction, roll_back};

/// A metastore in one file of Turso, a database that reads and writes the format of SQLite.
///
/// Only one process at a time can have the file open, for reading or for writing; SQLite then finds it locked. When
/// closed, it is an ordinary SQLite file.
///
/// Its futures need no runtime: its own threads do the work. Dropping it finishes the pending work and closes the file
/// in the background; [`close`](crate::Metastore::close) also tidies up, and returns when both are done.
pub struct TursoMetastore {
    pub(crate) database: Database,
}

impl TursoMetastore {
    /// Opens the metastore at `path`, and creates it if the file is missing or empty.
    ///
    /// `steps` is called before each step of a commit. A file of an older version is migrated to that of this build.
    ///
    /// # Errors
    ///
    /// `Unsupported` with code `newer-metastore` or `foreign-metastore` for a file that another build or application
    /// wrote; `Corrupt` for a damaged one; `NotFound` if its folder does not exist; `Invalid` for a path or settings
    /// that cannot be used; `Unavailable` with code `metastore-busy` if another process has it open.
    pub async fn open(path: impl AsRef<Path>, settings: SqliteSettings, steps: Arc<dyn Steps>) -> Result<Self> {
        settings.validate()?;
        let place = Place::find(path.as_ref())?;
        let file = SharedFile::new(place.clone(), settings);
        let of_writer = Arc::clone(&file);
        let writer = Writer::open(place.clone(), steps, move |_| open(&of_writer)).await?;
        let readers = start_readers(&file, false)?;
        Ok(Self { database: Database { place, readers, writer: Some(writer) } })
    }

    /// Opens the metastore at `path` for reading. No other process can have it open meanwhile.
    ///
    /// The file and its folder must be writable, because reading creates files next to it.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open); also `NotFound` if there is no metastore. Every change returns `Invalid` with code
    /// `read-only`. A metastore of an earlier version is read without a migration.
    pub async fn open_read_only(path: impl AsRef<Path>, settings: SqliteSettings) -> Result<Self> {
        settings.validate()?;
        let place = Place::find(path.as_ref())?;
        place.require_file()?;
        let readers = start_readers(&SharedFile::new(place.clone(), settings), true)?;
        readers.read(identity::compare_small_tables).await?;
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
fn open(file: &SharedFile) -> Result<TursoPrimary> {
    file.place.is_new()?;
    let connection = file.writable()?;
    let found = identity::identify(&connection)?;
    file.place.flush_names()?;
    if !identity::is_current(found) {
        identity::migrate(&connection)?;
    }
    if found != Identity::New {
        identity::compare_small_tables(&connection)?;
    }
    Ok(TursoPrimary { connection, place: file.place.clone() })
}

/// Opens a connection that writes, for the tests that all backends share.
#[cfg(test)]
pub(crate) fn connection(place: Place, settings: SqliteSettings) -> Result<Box<dyn crate::sql::Connection>> {
    let connection = SharedFile::new(place, settings).writable()?;
    identity::migrate(&connection)?;
    Ok(Box::new(connection))
}

fn start_readers(file: &Arc<SharedFile>, alone: bool) -> Result<Readers> {
    Readers::start(file.place.path(), || Reader { file: Arc::clone(file), alone, connection: None })
}

/// Provides the connection of one reader thread.
struct Reader {
    file: Arc<SharedFile>,
    /// Whether this process has no writer, which would have checked the identity of the file.
    alone: bool,
    /// A connection outside of any transaction.
    connection: Option<TursoConnection>,
}

impl Source for Reader {
    fn ask(&mut self, question: &mut dyn Question) -> Result<()> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => self.connect().map_err(|error| while_opening(self.file.place.path(), error))?,
        };
        let ended = in_transaction(&connection, question);
        // A connection that broke, or could not leave its transaction, is not used again.
        if roll_back(&connection).is_ok() && connection.is_autocommit() && !connection.is_broken() {
            self.connection = Some(connection);
        }
        ended
    }
}

impl Reader {
    fn connect(&self) -> Result<TursoConnection> {
        let connection = self.file.readable()?;
        if self.alone {
            identity::require_readable(&connection)?;
        }
        Ok(connection)
    }
}
