//! The identity and version of a file. Nothing is read from a file that is not entirely ours.

use cayenne_format::{Error, Result};

#[cfg(feature = "turso")]
use super::Row;
use super::failure::damaged;
use super::migrations::VERSION_WITH_VIEWS;
use super::row::Stored;
use super::{Connection, MIGRATIONS, all, first, roll_back, statements};

/// `CAYN`, in the field of the SQLite header that names the application of a file.
pub(crate) const APPLICATION_ID: i64 = 0x4341_594E;

/// What kind of file it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Identity {
    /// Nothing has been written to it yet.
    New,
    /// A metastore with this number of migrations.
    Version(usize),
}

/// The table that describes the database itself.
const CATALOG: &str = "sqlite_schema";

/// One row of `sqlite_schema`.
#[derive(PartialEq)]
struct SchemaRow {
    kind: String,
    name: String,
    table: String,
    sql: String,
}

/// Returns the identity of the file, after a check that its schema is the one of its version.
///
/// # Errors
///
/// `Unsupported` with code `newer-metastore` or `foreign-metastore`; `Corrupt` if the header cannot be read.
pub(crate) fn identify(connection: &dyn Connection) -> Result<Identity> {
    if !connection.is_autocommit() {
        return identify_in_transaction(connection);
    }
    // Another process may be creating or migrating the file, so everything is read in one transaction.
    connection.script(statements::BEGIN_READ)?;
    let found = identify_in_transaction(connection);
    let ended = roll_back(connection);
    found.and_then(|found| ended.map(|()| found))
}

fn identify_in_transaction(connection: &dyn Connection) -> Result<Identity> {
    let application = number(connection, statements::APPLICATION_ID)?;
    let version = version(connection)?;
    let objects = number(connection, statements::SCHEMA_OBJECTS)?;
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

/// Migrates the file to the version of this build, one transaction for each migration.
///
/// Another process may migrate the file at the same time, so each transaction checks which migrations are missing.
pub(crate) fn migrate(connection: &dyn Connection) -> Result<()> {
    loop {
        connection.script(statements::BEGIN_WRITE)?;
        match migrate_once(connection) {
            Ok(more) => {
                connection.commit().map_err(|uncommitted| uncommitted.error)?;
                if !more {
                    return Ok(());
                }
            }
            Err(error) => {
                // The first error is more useful than an error of the rollback.
                let _rolled_back = roll_back(connection);
                return Err(error);
            }
        }
    }
}

fn migrate_once(connection: &dyn Connection) -> Result<bool> {
    let done = match identify(connection)? {
        Identity::New => 0,
        Identity::Version(version) => version,
    };
    let Some(migration) = MIGRATIONS.get(done) else {
        return Ok(false);
    };
    connection.script(migration)?;
    let version = i64::try_from(done + 1).map_err(|_| Error::internal("there are too many migrations"))?;
    connection.script(&statements::set_identity(APPLICATION_ID, version))?;
    Ok(done + 1 < MIGRATIONS.len())
}

/// Fails unless a file that is opened read-only is a metastore of this version or an earlier one. What an earlier
/// version lacks reads as empty. This covers slices of earlier builds, and databases in a folder that is not writable.
pub(crate) fn require_readable(connection: &dyn Connection) -> Result<()> {
    match identify(connection)? {
        Identity::Version(_) => Ok(()),
        Identity::New => Err(Error::not_found("the file of the metastore is empty")),
    }
}

/// Checks the tables that are read as a whole, so that a damaged page cannot hide a table from the list.
pub(crate) fn check_small_tables(connection: &dyn Connection) -> Result<()> {
    let of_views = (version(connection)? >= VERSION_WITH_VIEWS).then_some(&statements::CHECK_VIEWS);
    for check in statements::CHECK_SMALL_TABLES.iter().chain(of_views) {
        let found = first(connection, check, &[], |row| Stored::new(CATALOG, row).text(0).map(str::to_owned))?;
        let found = found.unwrap_or_default();
        if found != "ok" {
            return Err(damaged().with("found", found));
        }
    }
    Ok(())
}

/// Checks the same tables in a database that can only check all tables at once, which takes long: the rows and indexes
/// of the small tables must name the same tables.
#[cfg(feature = "turso")]
pub(crate) fn compare_small_tables(connection: &dyn Connection) -> Result<()> {
    let id = |row: &dyn Row| Stored::new("cayenne_table", row).id(0);
    require_same(connection, "cayenne_table, writer", statements::TABLE_IDS, id)?;
    if version(connection)? < VERSION_WITH_VIEWS {
        return Ok(());
    }
    let name = |row: &dyn Row| Stored::new("cayenne_view", row).text(0).map(str::to_owned);
    require_same(connection, "cayenne_view", statements::VIEW_NAMES, name)
}

/// Fails unless all statements return the same.
#[cfg(feature = "turso")]
fn require_same<T: PartialEq>(
    connection: &dyn Connection,
    tables: &'static str,
    ways: &[&'static str],
    decode: impl Fn(&dyn Row) -> Result<T>,
) -> Result<()> {
    let mut known: Option<Vec<T>> = None;
    for way in ways {
        let found = all(connection, way, &[], &decode)?;
        if known.as_ref().is_some_and(|known| *known != found) {
            return Err(damaged().with("metastore_table", tables));
        }
        known = Some(found);
    }
    Ok(())
}

/// Compares the schema with that of the migrations: an extra trigger or a missing index means that another program
/// changed the file.
fn verify_schema(connection: &dyn Connection, version: usize) -> Result<()> {
    let found = schema_of(connection)?;
    let blank = connection.blank()?;
    for migration in MIGRATIONS.iter().take(version) {
        blank.script(migration)?;
    }
    let expected = schema_of(blank.as_ref())?;
    if found == expected {
        return Ok(());
    }
    let differs = |rows: &[SchemaRow], others: &[SchemaRow]| {
        rows.iter().find(|row| !others.contains(row)).map(|row| format!("{} {}", row.kind, row.name))
    };
    let object = differs(&found, &expected).or_else(|| differs(&expected, &found)).unwrap_or_default();
    Err(foreign("the schema of the metastore was changed by another program").with("object", object))
}

fn schema_of(connection: &dyn Connection) -> Result<Vec<SchemaRow>> {
    all(connection, statements::SCHEMA, &[], |row| {
        let row = Stored::new(CATALOG, row);
        Ok(SchemaRow { kind: text(&row, 0)?, name: text(&row, 1)?, table: text(&row, 2)?, sql: plain(row.text(3)?) })
    })
}

/// Returns a statement with its insignificant blanks removed: SQLite stores the text as it was written, Turso does not.
fn plain(sql: &str) -> String {
    let words: Vec<_> = sql.split_whitespace().collect();
    words.join(" ").replace("( ", "(").replace(" )", ")")
}

fn text(row: &Stored<'_>, column: usize) -> Result<String> {
    row.text(column).map(str::to_owned)
}

fn number(connection: &dyn Connection, sql: &'static str) -> Result<i64> {
    first(connection, sql, &[], |row| Stored::new(CATALOG, row).integer(0))?.ok_or_else(damaged)
}

/// Returns the version in the header of the file.
pub(crate) fn version(connection: &dyn Connection) -> Result<i64> {
    number(connection, statements::USER_VERSION)
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

/// Returns whether there is nothing to migrate.
pub(crate) fn is_current(found: Identity) -> bool {
    found == Identity::Version(MIGRATIONS.len())
}
