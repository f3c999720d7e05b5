//! What the metastore asks of a database: statements with values, rows, and transactions. Everything blocks.

use cayenne_format::{Error, Result};

/// The value of one column, on its way in or out. It is borrowed, so that nothing is copied on the way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value<'a> {
    Null,
    Integer(i64),
    Text(&'a str),
    Blob(&'a [u8]),
}

/// A connection to one database.
pub(crate) trait Connection {
    /// Does one statement that returns no rows. It is compiled once for each connection.
    fn execute(&self, sql: &'static str, values: &[Value<'_>]) -> Result<()>;

    /// Does one statement and shows each of its rows, until one of them is refused. It is compiled once for each
    /// connection.
    fn query(
        &self,
        sql: &'static str,
        values: &[Value<'_>],
        each: &mut dyn FnMut(&dyn Row) -> Result<()>,
    ) -> Result<()>;

    /// Does statements without values and without rows, one after the other.
    fn script(&self, sql: &str) -> Result<()>;

    /// Ends the transaction that is open and makes it durable.
    fn commit(&self) -> Result<(), Uncommitted>;

    /// Returns the integer key of the row that was inserted last.
    fn last_key(&self) -> i64;

    /// Says whether no transaction is open.
    fn is_autocommit(&self) -> bool;

    /// Opens an empty database of the same kind, in memory.
    fn blank(&self) -> Result<Box<dyn Connection>>;
}

/// Writes the WAL back as far as that needs to wait for nobody.
pub(crate) type Backfill = Box<dyn FnMut() -> Result<()> + Send>;

/// The one connection that writes, and what the writer does with the file besides.
pub(crate) trait Primary {
    fn connection(&self) -> &dyn Connection;

    /// Returns what writes the WAL back beside commits, on a connection of its own, if the backend can.
    fn backfill(&self) -> Result<Option<Backfill>>;

    /// Writes the WAL back and cuts it, as far as nobody is in the way.
    fn checkpoint(&self) -> Result<()>;

    /// Tidies up, so that the next open has less to do, and closes the connection. What was committed is safe either way.
    fn tidy(self: Box<Self>) -> Result<()>;
}

/// A transaction that could not be made durable.
#[derive(Debug)]
pub(crate) struct Uncommitted {
    pub(crate) error: Error,
    /// Whether it is known that nothing of it is on the disk.
    pub(crate) left_nothing: bool,
}

/// One row of an answer.
pub(crate) trait Row {
    /// Returns the value of a column, counted from 0.
    fn value(&self, column: usize) -> Result<Value<'_>>;
}

/// Returns the first row, if there is any. Statements that are used with it return few.
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

/// Ends whatever transaction is open.
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

/// 64 bits without a sign are kept in the same 64 bits.
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
