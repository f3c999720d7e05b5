//! The interface that the metastore needs from a database: statements with values, rows, and transactions. All calls
//! block.

use cayenne_format::{Error, Result};

/// The value of one column, to be stored or as read. It is borrowed to avoid a copy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    Null,
    Integer(i64),
    Text(&'a str),
    Blob(&'a [u8]),
}

/// A connection to one database.
pub(crate) trait Connection {
    /// Runs one statement that returns no rows. It is compiled once for each connection.
    fn execute(&self, sql: &'static str, values: &[Value<'_>]) -> Result<()>;

    /// Runs one statement and calls `each` for each of its rows, until `each` fails. The statement is compiled once for
    /// each connection.
    fn query(
        &self,
        sql: &'static str,
        values: &[Value<'_>],
        each: &mut dyn FnMut(&dyn Row) -> Result<()>,
    ) -> Result<()>;

    /// Runs statements without values and without rows, one after the other.
    fn script(&self, sql: &str) -> Result<()>;

    /// Commits the open transaction and makes it durable.
    fn commit(&self) -> Result<(), Uncommitted>;

    /// Returns the integer key of the row that was inserted last.
    fn last_key(&self) -> i64;

    /// Returns whether no transaction is open.
    fn is_autocommit(&self) -> bool;

    /// Opens an empty database of the same kind, in memory.
    fn blank(&self) -> Result<Box<dyn Connection>>;
}

/// Writes the WAL back as far as that is possible without waiting for readers or writers.
pub(crate) type Backfill = Box<dyn FnMut() -> Result<()> + Send>;

/// The one connection that writes, and the maintenance of the file.
pub(crate) trait Primary {
    fn connection(&self) -> &dyn Connection;

    /// Returns the function that writes the WAL back concurrently with commits, on a connection of its own, or `None`
    /// if the backend has none.
    fn backfill(&self) -> Result<Option<Backfill>>;

    /// Writes the WAL back and truncates it, as far as readers and writers permit.
    fn checkpoint(&self) -> Result<()>;

    /// Tidies up, so that the next open has less to do, and closes the connection. Commits are durable even if this
    /// fails.
    fn tidy(self: Box<Self>) -> Result<()>;
}

/// A transaction that could not be made durable.
#[derive(Debug)]
pub(crate) struct Uncommitted {
    pub(crate) error: Error,
    /// Whether it is certain that no part of it is on the disk.
    pub(crate) left_nothing: bool,
}

/// One row of a result.
pub(crate) trait Row {
    /// Returns the value of a column, counted from 0.
    fn value(&self, column: usize) -> Result<Value<'_>>;
}

/// Returns the first row, if there is any. Use it only for statements that return few rows.
pub(crate) fn first<T>(
    connection: &dyn Connection,
    sql: &'static str,
    values: &[Value<'_>],
    decode: impl Fn(&dyn Row) -> Result<T>,
) -> Result<Option<T>> {
    let mut found = None;
    connection.query(sql, values, &mut |row| {
        if found.is_none() {
            found = Some(decode(row)?);
        }
        Ok(())
    })?;
    Ok(found)
}

/// Returns all rows.
pub(crate) fn all<T>(
    connection: &dyn Connection,
    sql: &'static str,
    values: &[Value<'_>],
    mut decode: impl FnMut(&dyn Row) -> Result<T>,
) -> Result<Vec<T>> {
    let mut found = Vec::new();
    connection.query(sql, values, &mut |row| {
        found.push(decode(row)?);
        Ok(())
    })?;
    Ok(found)
}

/// Rolls back the open transaction, if there is one.
pub(crate) fn roll_back(connection: &dyn Connection) -> Result<()> {
    if connection.is_autocommit() { Ok(()) } else { connection.script(super::statements::ROLLBACK) }
}

/// Makes a slice of values.
macro_rules! values {
    ($($value:expr),* $(,)?) => { &[$($crate::sql::Value::from($value)),*] };
}
pub(crate) use values;

impl From<i64> for Value<'_> {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

/// An unsigned 64-bit number is stored as the signed number with the same bits.
impl From<u64> for Value<'_> {
    fn from(value: u64) -> Self {
        Self::Integer(value.cast_signed())
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(value: &'a str) -> Self {
        Self::Text(value)
    }
}

impl<'a> From<&'a [u8]> for Value<'a> {
    fn from(value: &'a [u8]) -> Self {
        Self::Blob(value)
    }
}

impl<'a, const BYTES: usize> From<&'a [u8; BYTES]> for Value<'a> {
    fn from(value: &'a [u8; BYTES]) -> Self {
        Self::Blob(value)
    }
}

impl<'a, T: Into<Value<'a>>> From<Option<T>> for Value<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}
