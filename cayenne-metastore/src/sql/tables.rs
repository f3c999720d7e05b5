//! The rows of tables and of their writers.

use cayenne_format::{
    Error, Result, Sequence, TableId, TableName, TableOptions, Timestamp, WriterEpoch, decode_schema, encode_schema,
};

use super::digest::Columns;
use super::failure::wrong_value;
use super::row::{Stored, damaged_row};
use super::{Connection, Row, Value, first, history, log, statements, values, views};
use crate::metastore::no_table;
use crate::{History, NewTable, TableKey, TableRecord, Writer};

/// The latest writer of a table.
#[derive(Clone, Debug)]
pub(crate) struct LatestWriter {
    pub(crate) epoch: WriterEpoch,
    pub(crate) writer: Option<Writer>,
}

impl LatestWriter {
    fn digest(&self, table: TableId) -> u128 {
        let columns = Columns::of("writer", table).number(self.epoch.number());
        match &self.writer {
            None => columns.digest(),
            Some(writer) => {
                columns.bytes(writer.host.as_bytes()).number(writer.process.into()).signed(writer.since.0).digest()
            }
        }
    }

    fn decode(table: TableId, row: &dyn Row) -> Result<Self> {
        let row = Stored::new("writer", row);
        let writer = match row.text_if_any(1)? {
            None => None,
            Some(host) => {
                let process = u32::try_from(row.integer(2)?).map_err(|_| wrong_value())?;
                Some(Writer { host: host.to_owned(), process, since: Timestamp(row.integer(3)?) })
            }
        };
        let latest = Self { epoch: WriterEpoch::new(row.count(0)?), writer };
        row.verify(row.digest(4)?, latest.digest(table))?;
        Ok(latest)
    }
}

/// The stored description of a table.
struct Described<'a> {
    name: &'a str,
    location: &'a str,
    columns: &'a [u8],
    options: &'a str,
    made_at: Timestamp,
}

impl Described<'_> {
    fn digest(&self, table: TableId) -> u128 {
        Columns::of("cayenne_table", table)
            .bytes(self.name.as_bytes())
            .bytes(self.location.as_bytes())
            .bytes(self.columns)
            .bytes(self.options.as_bytes())
            .signed(self.made_at.0)
            .digest()
    }
}

/// Returns the latest writer. Every table has a row for it.
pub(crate) fn writer(connection: &dyn Connection, table: TableId) -> Result<LatestWriter> {
    let found =
        first(connection, statements::WRITER, values![table.as_bytes()], |row| LatestWriter::decode(table, row))?;
    found.ok_or_else(|| no_table(table))
}

/// Sets the latest writer of a table.
pub(crate) fn set_writer(connection: &dyn Connection, table: TableId, latest: &LatestWriter) -> Result<()> {
    let writer = latest.writer.as_ref();
    connection.execute(
        statements::SET_WRITER,
        values![
            table.as_bytes(),
            latest.epoch.number(),
            writer.map(|writer| writer.host.as_str()),
            writer.map(|writer| i64::from(writer.process)),
            writer.map(|writer| writer.since.0),
            &latest.digest(table).to_be_bytes(),
        ],
    )
}

/// Fails if the id or the name is in use.
pub(crate) fn require_free(connection: &dyn Connection, new: &NewTable) -> Result<()> {
    if exists(connection, statements::TABLE_ID_IS_TAKEN, values![new.id.as_bytes()])? {
        return Err(Error::already_exists("a table has this id already").with("table", new.id));
    }
    if exists(connection, statements::TABLE_NAME_IS_TAKEN, values![new.name.as_str()])? {
        return Err(Error::already_exists("a table has this name already").with("table", &new.name));
    }
    views::require_free(connection, &new.name)
}

/// Adds a table, without commits and without a writer.
pub(crate) fn insert(connection: &dyn Connection, new: &NewTable) -> Result<()> {
    let (columns, options) = (encode_schema(&new.schema), new.options.encode());
    let described = Described {
        name: new.name.as_str(),
        location: &new.location,
        columns: &columns,
        options: &options,
        made_at: new.made_at,
    };
    connection.execute(
        statements::INSERT_TABLE,
        values![
            new.id.as_bytes(),
            described.name,
            described.location,
            described.columns,
            described.options,
            described.made_at.0,
            &described.digest(new.id).to_be_bytes(),
        ],
    )?;
    set_writer(connection, new.id, &LatestWriter { epoch: WriterEpoch::NONE, writer: None })
}

/// Removes a table and everything that refers to it.
pub(crate) fn delete(connection: &dyn Connection, table: TableId) -> Result<()> {
    connection.execute(statements::DELETE_TABLE, values![table.as_bytes()])
}

/// Returns one table.
pub(crate) fn one(connection: &dyn Connection, table: TableId) -> Result<TableRecord> {
    let found = read(connection, statements::TABLE, values![table.as_bytes()])?;
    found.into_iter().next().ok_or_else(|| no_table(table))
}

/// Returns the table with this id or name, if there is one.
pub(crate) fn find(connection: &dyn Connection, key: &TableKey) -> Result<Option<TableRecord>> {
    let found = match key {
        TableKey::Id(id) => read(connection, statements::TABLE, values![id.as_bytes()])?,
        TableKey::Name(name) => read(connection, statements::TABLE_NAMED, values![name.as_str()])?,
    };
    Ok(found.into_iter().next())
}

/// Returns all tables, ordered by name.
pub(crate) fn all(connection: &dyn Connection) -> Result<Vec<TableRecord>> {
    let mut records = read(connection, statements::TABLES, &[])?;
    records.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(records)
}

fn read(connection: &dyn Connection, sql: &'static str, key: &[Value<'_>]) -> Result<Vec<TableRecord>> {
    let mut records = super::all(connection, sql, key, decode)?;
    // Further rows are read only after this statement has ended, so that no statement runs inside another.
    records.iter_mut().try_for_each(|record| add_latest(connection, record))?;
    Ok(records)
}

/// Returns the record in the row of a table, without the changes of its commits and writers.
fn decode(row: &dyn Row) -> Result<TableRecord> {
    let row = Stored::new("cayenne_table", row);
    let id = TableId::from_bytes(row.id(0)?);
    let (name, location, columns) = (row.text(1)?, row.text(2)?, row.bytes(3)?);
    let (options, made_at) = (row.text(4)?, Timestamp(row.integer(5)?));
    let described = Described { name, location, columns: &columns, options, made_at };
    row.verify(row.digest(6)?, described.digest(id))?;
    let name = TableName::try_from(name).map_err(|error| row.damaged().because(error))?;
    let schema = decode_schema(&columns).map_err(|error| row.named(error).with("table", &name))?;
    let options = TableOptions::decode(options).map_err(|error| row.named(error).with("table", &name))?;
    let (location, sequence, epoch) = (location.to_owned(), Sequence::ZERO, WriterEpoch::NONE);
    let history = History::default();
    Ok(TableRecord { id, name, location, schema, options, made_at, sequence, epoch, writer: None, history })
}

fn add_latest(connection: &dyn Connection, record: &mut TableRecord) -> Result<()> {
    record.sequence = log::head(connection, record.id)?.sequence;
    // Every table has a writer row. A missing one is damage, not a missing table.
    let latest = writer(connection, record.id).map_err(|error| damaged_row("cayenne_table").because(error))?;
    record.epoch = latest.epoch;
    record.writer = latest.writer;
    record.history = history::of(connection, record.id)?;
    Ok(())
}

fn exists(connection: &dyn Connection, sql: &'static str, key: &[Value<'_>]) -> Result<bool> {
    first(connection, sql, key, |_| Ok(())).map(|found| found.is_some())
}
