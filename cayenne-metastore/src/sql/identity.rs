//! Whose file it is, and of which version: nothing is read from a file that is not wholly ours.

use cayenne_format::{Error, Result};

#[cfg(feature = "turso")]
use super::Row;
use super::failure::damaged;
use super::migrations::VERSION_WITH_VIEWS;
use super::row::Stored;
use super::{Connection, MIGRATIONS, all, first, roll_back, statements};

/// `CAYN`, in the field of the SQLite header that says which program a file belongs to.
pub(crate) const APPLICATION_ID: i64 = 0x4341_594E;

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Identity {
    /// Nothing has been written to it.
    New,
    /// A metastore with this many migrations.
    Version(usize),
}

/// Where the facts about a database itself come from.
const CATALOG: &str = "sqlite_schema";

/// One row of `sqlite_schema`.
#[derive(PartialEq)]
struct SchemaRow {
    kind: String,
    name: String,
    table: String,
    sql: String,
}

/// Says what the file is, and that its schema is what its version says.
///
/// # Errors
///
/// `Unsupported` with code `newer-metastore` or `foreign-metastore`; `Corrupt` if the header cannot be read.
pub(crate) fn identify(connection: &dyn Connection) -> Result<Identity> {
    if !connection.is_autocommit() {
        return identify_in_transaction(connection);
    }
    // Another process may be making or migrating the file: all is read in one moment.
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

/// Brings the file to the version of this build, one transaction for each migration.
///
/// Another process may do the same at the same time: what is missing is looked up inside each transaction.
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
                // The first error says more than one of the rollback could.
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

/// Says that a file that is read but not written is a metastore of this version or of an earlier one: what that one did
/// not have is empty. A slice that an earlier build has made is read so, and a database in a folder that is not writable.
pub(crate) fn require_readable(connection: &dyn Connection) -> Result<()> {
    match identify(connection)? {
        Identity::Version(_) => Ok(()),
        Identity::New => Err(Error::not_found("the file of the metastore is empty")),
    }
}

/// Checks the tables that are read as a whole, so that a damaged page cannot make a table vanish from the list.
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

/// Checks the same tables where the database can only check all of them, which takes long: their rows and their indexes
/// must name the same tables.
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

/// Says that each of the statements finds the same.
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

/// Compares the schema with what the migrations make: an extra trigger or a missing index is somebody else's work.
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

/// Returns the text of a statement without the blanks that mean nothing: SQLite keeps it as it was, Turso does not.
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

/// Returns the version that the file says it has.
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

/// Says whether there is nothing to migrate.
pub(crate) fn is_current(found: Identity) -> bool {
    found == Identity::Version(MIGRATIONS.len())
}
