//! Opens a file with Turso and sets each connection up before anything is read from it.

use std::sync::Arc;

use cayenne_format::{Error, Result};
use parking_lot::Mutex;
use turso_core::{Database, MemoryIO, OpenOptions, PlatformIO, SqliteDialect};

use super::connection::TursoConnection;
use super::failure::{OrFailure as _, broken, contained};
use crate::place::Place;
use crate::settings::{SqliteSettings, Synchronous};
use crate::sql::{Connection as _, identity, statements};
use crate::sqlite;

/// The file, shared by the threads of one metastore. It is opened when the first thread needs it, and closed with the
/// last.
///
/// While the file is open, Turso holds a lock of the operating system that keeps other processes out, readers included.
/// The lock belongs to the process, and is lost as soon as the process closes the file in any other way.
pub(super) struct SharedFile {
    pub(super) place: Place,
    pub(super) settings: SqliteSettings,
    opened: Mutex<Option<Arc<Database>>>,
}

impl SharedFile {
    pub(super) fn new(place: Place, settings: SqliteSettings) -> Arc<Self> {
        Arc::new(Self { place, settings, opened: Mutex::default() })
    }

    /// Opens a connection that writes, and creates the file if it does not exist. Nothing is written to it yet.
    pub(super) fn writable(&self) -> Result<TursoConnection> {
        let connection = self.connect()?;
        let full = self.settings.synchronous == Synchronous::Full;
        connection.script(&statements::set("foreign_keys", "1"))?;
        connection.script(&statements::set("synchronous", self.settings.synchronous.word()))?;
        // Only macOS has this setting: there a plain flush leaves the bytes in the cache of the disk.
        connection.script(&statements::set("fullfsync", if full { "1" } else { "0" }))?;
        // Without this setting a failed flush ends the thread. With it the commit is refused, and settled as with
        // SQLite.
        connection.script(&statements::set("data_sync_retry", "1"))?;
        Ok(connection)
    }

    /// Opens a connection that only reads.
    pub(super) fn readable(&self) -> Result<TursoConnection> {
        let connection = self.connect()?;
        connection.script(&statements::set("query_only", "1"))?;
        Ok(connection)
    }

    fn connect(&self) -> Result<TursoConnection> {
        let database = self.database()?;
        let connection = contained(|| database.connect()).ok_or_else(broken).flatten().or_failure()?;
        connection.set_busy_timeout(self.settings.busy_timeout);
        let connection = TursoConnection::new(connection);
        // No file is created outside the folder of the metastore.
        connection.script(&statements::set("temp_store", "2"))?;
        Ok(connection)
    }

    fn database(&self) -> Result<Arc<Database>> {
        let mut opened = self.opened.lock();
        if let Some(database) = opened.as_ref() {
            return Ok(Arc::clone(database));
        }
        let path = self.place.path();
        let text = path.to_str().ok_or_else(|| {
            Error::invalid("the path of a metastore of Turso must be UTF-8").with("metastore", path.display())
        })?;
        self.look_first()?;
        let io = Arc::new(PlatformIO::new().or_failure()?);
        let database = contained(|| Database::open(io, text, options())).ok_or_else(broken).flatten().or_failure()?;
        Ok(Arc::clone(opened.insert(database)))
    }

    /// Refuses a file that is not ours before Turso opens it, because Turso gives every file a WAL at once.
    ///
    /// A file with a WAL needs no such check. A file without one is not open in this process, so SQLite can close it
    /// again without losing a lock.
    fn look_first(&self) -> Result<()> {
        if self.place.is_new()? || self.place.wal_bytes().is_some() {
            return Ok(());
        }
        identity::identify(&sqlite::connect::unshared(&self.place, &self.settings)?).map(|_| ())
    }
}

/// Opens an empty database in memory.
pub(super) fn in_memory() -> Result<TursoConnection> {
    let database = Database::open(Arc::new(MemoryIO::new()), ":memory:", options()).or_failure()?;
    Ok(TursoConnection::new(database.connect().or_failure()?))
}

fn options() -> OpenOptions {
    OpenOptions::new(Arc::new(SqliteDialect))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::{Value, first};

    fn setting(connection: &TursoConnection, sql: &'static str) -> String {
        let value = first(connection, sql, &[], |row| {
            Ok(match row.value(0)? {
                Value::Integer(number) => number.to_string(),
                Value::Text(text) => text.to_owned(),
                other => format!("{other:?}"),
            })
        });
        value.unwrap().unwrap()
    }

    #[test]
    fn settings_are_taken() {
        let folder = tempfile::tempdir().unwrap();
        for (synchronous, number) in [(Synchronous::Full, "2"), (Synchronous::Normal, "1")] {
            let place = Place::find(&folder.path().join("a.db")).unwrap();
            let file = SharedFile::new(place, SqliteSettings { synchronous, ..SqliteSettings::default() });
            let connection = file.writable().unwrap();
            assert_eq!(setting(&connection, "PRAGMA synchronous"), number);
            assert_eq!(setting(&connection, "PRAGMA foreign_keys"), "1");
            assert_eq!(setting(&connection, "PRAGMA data_sync_retry"), "1");
            assert_eq!(setting(&connection, "PRAGMA busy_timeout"), "30000");
            assert_eq!(setting(&connection, "PRAGMA temp_store"), "2");
            assert_eq!(setting(&connection, "PRAGMA journal_mode"), "wal");
            assert_eq!(setting(&file.readable().unwrap(), "PRAGMA query_only"), "1");
        }
    }
}
