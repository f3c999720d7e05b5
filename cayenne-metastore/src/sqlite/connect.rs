//! Opens connections and sets each up before anything is read from it.

use std::time::Duration;

use cayenne_format::{Error, Result};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::failure::OrFailure;
use crate::place::Place;
use crate::settings::{SqliteSettings, Synchronous};
use crate::sql::failure::while_busy;

/// More than the number of statements, so that each is compiled once for each connection.
const STATEMENTS_CACHED: usize = 64;

/// How long the change to WAL mode is retried while another process makes it.
const WAL_PATIENCE: Duration = Duration::from_secs(2);

/// Opens the file for writing, and creates it if it does not exist. Nothing is written yet.
pub(crate) fn writable(place: &Place, settings: &SqliteSettings) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(place.path(), flags).or_failure()?;
    protect(&connection, settings)?;
    // SQLite silently opens a file read-only if it may not write it.
    if connection.is_readonly("main").or_failure()? {
        let error = Error::invalid("the metastore file is not writable").code("no-permission");
        return Err(error.help("give this process permission, or open the database read-only"));
    }
    set(&connection, "foreign_keys", "ON")?;
    set(&connection, "synchronous", settings.synchronous.word())?;
    // The WAL is written back concurrently with commits. An automatic checkpoint would run inside a commit.
    set(&connection, "wal_autocheckpoint", "0")?;
    // Only macOS has this setting: there a plain flush leaves the bytes in the cache of the disk.
    let full = if settings.synchronous == Synchronous::Full { "ON" } else { "OFF" };
    set(&connection, "fullfsync", full)?;
    Ok(connection)
}

/// Opens the file for reading, while others may write it.
pub(crate) fn shared(place: &Place, settings: &SqliteSettings) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(place.path(), flags).or_failure()?;
    protect(&connection, settings)?;
    set(&connection, "query_only", "ON")?;
    Ok(connection)
}

/// Opens the file for reading, while no process writes it.
pub(crate) fn unshared(place: &Place, settings: &SqliteSettings) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    let opened = Connection::open_with_flags(place.immutable_uri(), flags);
    let connection = opened.or_failure()?;
    protect(&connection, settings)?;
    set(&connection, "query_only", "ON")?;
    Ok(connection)
}

/// Changes the file to WAL mode.
pub(crate) fn enter_wal_mode(connection: &Connection) -> Result<()> {
    let change = || connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get::<_, String>(0));
    // Two processes that create the same file can collide here, and SQLite does not wait by itself.
    let mode = while_busy(WAL_PATIENCE, || change().or_failure())?;
    if mode.eq_ignore_ascii_case("wal") {
        return Ok(());
    }
    Err(Error::unsupported("the file system of the metastore cannot do write-ahead logging")
        .with("journal_mode", mode)
        .help("keep the metadata folder on a local disk"))
}

/// Makes a connection safe for a file that may be damaged or not ours.
fn protect(connection: &Connection, settings: &SqliteSettings) -> Result<()> {
    connection.busy_timeout(settings.busy_timeout).or_failure()?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_CACHED);
    let switches = [
        (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
        (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false),
        (DbConfig::SQLITE_DBCONFIG_DQS_DML, false),
        (DbConfig::SQLITE_DBCONFIG_DQS_DDL, false),
    ];
    for (switch, on) in switches {
        connection.set_db_config(switch, on).or_failure()?;
    }
    set(connection, "cell_size_check", "ON")?;
    // With a memory map, a file that another process truncates would raise a signal that ends this process.
    set(connection, "mmap_size", "0")?;
    // The rollback data of large commits stays in memory: no file is created outside the folder of the metastore.
    set(connection, "temp_store", "MEMORY")
}

fn set(connection: &Connection, pragma: &str, value: &str) -> Result<()> {
    connection.pragma_update(None, pragma, value).or_failure()
}
