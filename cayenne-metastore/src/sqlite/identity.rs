//! Whose file it is, and of which version: nothing is read from a file that is not wholly ours.

use cayenne_format::{Error, Result};
use rusqlite::Connection;

use super::failure::OrFailure;
use super::group::roll_back;
use crate::sql::{MIGRATIONS, statements};

/// `CAYN`, in the field of the SQLite header that says which program a file belongs to.
pub(super) const APPLICATION_ID: i32 = 0x4341_594E;

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Identity {
    /// Nothing has been written to it.
    New,
    /// A metastore with this many migrations.
    Version(usize),
}

/// One row of `sqlite_schema`: type, name, table, text.
type SchemaRow = (String, String, String, String);

/// Says what the file is, and that its schema is what its version says.
///
/// # Errors
///
/// `Unsupported` with code `newer-metastore` or `foreign-metastore`; `Corrupt` if the header cannot be read.
pub(super) fn identify(connection: &Connection) -> Result<Identity> {
    if !connection.is_autocommit() {
        return identify_in_transaction(connection);
    }
    // Another process may be making or migrating the file: all is read in one moment.
    connection.execute_batch(statements::BEGIN_READ).or_failure()?;
    let found = identify_in_transaction(connection);
    let ended = roll_back(connection);
    found.and_then(|found| ended.map(|()| found))
}

fn identify_in_transaction(connection: &Connection) -> Result<Identity> {
    let application: i32 = connection.pragma_query_value(None, "application_id", |row| row.get(0)).or_failure()?;
    let version: i32 = connection.pragma_query_value(None, "user_version", |row| row.get(0)).or_failure()?;
    let objects: i64 = connection.query_row(statements::SCHEMA_OBJECTS, [], |row| row.get(0)).or_failure()?;
    match (application, usize::try_from(version).ok()) {
        (0, Some(0)) if objects == 0 => Ok(Identity::New),
        (APPLICATION_ID, Some(version)) if version > MIGRATIONS.len() => Err(newer(version)),
        (APPLICATION_ID, Some(version)) if version > 0 => {
            verify_schema(connection, version)?;
            Ok(Identity::Version(version))
        }
        _ => Err(foreign("the file is a database of another application").with("application_id", application)),
    }
}

/// Brings the file to the version of this build, one transaction for each migration.
///
/// Another process may do the same at the same time: what is missing is looked up inside each transaction.
pub(super) fn migrate(connection: &Connection) -> Result<()> {
    loop {
        connection.execute_batch(statements::BEGIN_WRITE).or_failure()?;
        match migrate_once(connection) {
            Ok(more) => {
                connection.execute_batch(statements::COMMIT).or_failure()?;
                if !more {
                    return Ok(());
                }
            }
            Err(error) => {
                // The first error says more than one of the rollback could.
                let _rolled_back = roll_back(connection);
                return Err(error);
            }
        }
    }
}

fn migrate_once(connection: &Connection) -> Result<bool> {
    let done = match identify(connection)? {
        Identity::New => 0,
        Identity::Version(version) => version,
    };
    let Some(migration) = MIGRATIONS.get(done) else {
        return Ok(false);
    };
    connection.execute_batch(migration).or_failure()?;
    connection.pragma_update(None, "application_id", APPLICATION_ID).or_failure()?;
    let version = i32::try_from(done + 1).map_err(|_| Error::internal("there are too many migrations"))?;
    connection.pragma_update(None, "user_version", version).or_failure()?;
    Ok(done + 1 < MIGRATIONS.len())
}

/// Says that a file that is read but not written is of the version of this build.
pub(super) fn require_current(connection: &Connection) -> Result<()> {
    match identify(connection)? {
        Identity::Version(version) if version == MIGRATIONS.len() => Ok(()),
        Identity::Version(version) => Err(Error::unsupported("the metastore has an older schema version")
            .code("older-metastore")
            .with("found", version)
            .with("known", MIGRATIONS.len())
            .help("open the database once for writing; that brings it up to date")),
        Identity::New => Err(Error::not_found("the file of the metastore is empty")),
    }
}

/// Checks the tables that are read as a whole, so that a damaged page cannot make a table vanish from the list.
pub(super) fn check_small_tables(connection: &Connection) -> Result<()> {
    for check in statements::CHECK_SMALL_TABLES {
        let found: String = connection.query_row(check, [], |row| row.get(0)).or_failure()?;
        if found != "ok" {
            return Err(Error::corrupt("the metastore file is damaged").with("found", found));
        }
    }
    Ok(())
}

/// Compares the schema with what the migrations make: an extra trigger or a missing index is somebody else's work.
fn verify_schema(connection: &Connection, version: usize) -> Result<()> {
    let found = schema_of(connection)?;
    let fresh = Connection::open_in_memory().or_failure()?;
    for migration in MIGRATIONS.iter().take(version) {
        fresh.execute_batch(migration).or_failure()?;
    }
    let expected = schema_of(&fresh)?;
    if found == expected {
        return Ok(());
    }
    let differs = |rows: &[SchemaRow], others: &[SchemaRow]| {
        rows.iter().find(|row| !others.contains(row)).map(|(kind, name, ..)| format!("{kind} {name}"))
    };
    let object = differs(&found, &expected).or_else(|| differs(&expected, &found)).unwrap_or_default();
    Err(foreign("the schema of the metastore was changed by another program").with("object", object))
}

fn schema_of(connection: &Connection) -> Result<Vec<SchemaRow>> {
    let mut statement = connection.prepare(statements::SCHEMA).or_failure()?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))).or_failure()?;
    rows.collect::<rusqlite::Result<_>>().or_failure()
}

fn newer(found: usize) -> Error {
    let known = MIGRATIONS.len();
    Error::unsupported(format!("the metastore has schema version {found}; this build knows up to {known}"))
        .code("newer-metastore")
        .help("upgrade Cayenne")
}

fn foreign(message: &'static str) -> Error {
    Error::unsupported(message).code("foreign-metastore").help("give Cayenne a folder of its own")
}

/// Says whether there is nothing to migrate.
pub(super) fn is_current(found: Identity) -> bool {
    found == Identity::Version(MIGRATIONS.len())
}
