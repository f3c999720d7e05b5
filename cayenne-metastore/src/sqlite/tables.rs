//! The rows of tables and of their writers.

use cayenne_format::{
    Error, Result, TableId, TableName, TableOptions, Timestamp, WriterEpoch, decode_schema, encode_schema,
};
use rusqlite::{Connection, Params, Row, params};

use super::digest::Columns;
use super::failure::OrFailure;
use super::log;
use super::row::Stored;
use crate::metastore::no_table;
use crate::sql::statements;
use crate::{NewTable, TableRecord, Writer};

/// The latest writer of a table.
#[derive(Clone, Debug)]
pub(super) struct LatestWriter {
    pub(super) epoch: WriterEpoch,
    pub(super) writer: Option<Writer>,
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

    fn decode(table: TableId, row: &Row<'_>) -> Result<Self> {
        let row = Stored::new("writer", row);
        let writer = match row.get::<Option<String>>(1)? {
            None => None,
            Some(host) => Some(Writer { host, process: row.get(2)?, since: Timestamp(row.get(3)?) }),
        };
        let latest = Self { epoch: WriterEpoch::new(row.count(0)?), writer };
        row.verify(row.digest(4)?, latest.digest(table))?;
        Ok(latest)
    }
}

/// What a table is, as it is stored.
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

/// Returns the latest writer; every table has a row for it.
pub(super) fn writer(connection: &Connection, table: TableId) -> Result<LatestWriter> {
    let mut statement = connection.prepare_cached(statements::WRITER).or_failure()?;
    let mut rows = statement.query(params![table.as_bytes()]).or_failure()?;
    let row = rows.next().or_failure()?.ok_or_else(|| no_table(table))?;
    LatestWriter::decode(table, row)
}

/// Makes `latest` the latest writer.
pub(super) fn set_writer(connection: &Connection, table: TableId, latest: &LatestWriter) -> Result<()> {
    let writer = latest.writer.as_ref();
    let mut statement = connection.prepare_cached(statements::SET_WRITER).or_failure()?;
    let set = statement.execute(params![
        table.as_bytes(),
        latest.epoch.number().cast_signed(),
        writer.map(|writer| writer.host.as_str()),
        writer.map(|writer| writer.process),
        writer.map(|writer| writer.since.0),
        latest.digest(table).to_be_bytes(),
    ]);
    set.or_failure().map(|_| ())
}

/// Says that neither the id nor the name is in use.
pub(super) fn require_free(connection: &Connection, new: &NewTable) -> Result<()> {
    if exists(connection, statements::TABLE_ID_IS_TAKEN, params![new.id.as_bytes()])? {
        return Err(Error::already_exists("a table has this id already").with("table", new.id));
    }
    if exists(connection, statements::TABLE_NAME_IS_TAKEN, params![new.name.as_str()])? {
        return Err(Error::already_exists("a table has this name already").with("table", &new.name));
    }
    Ok(())
}

/// Adds a table, without commits and without a writer.
pub(super) fn insert(connection: &Connection, new: &NewTable) -> Result<()> {
    let (columns, options) = (encode_schema(&new.schema), new.options.encode());
    let described = Described {
        name: new.name.as_str(),
        location: &new.location,
        columns: &columns,
        options: &options,
        made_at: new.made_at,
    };
    let mut statement = connection.prepare_cached(statements::INSERT_TABLE).or_failure()?;
    let inserted = statement.execute(params![
        new.id.as_bytes(),
        described.name,
        described.location,
        described.columns,
        described.options,
        described.made_at.0,
        described.digest(new.id).to_be_bytes(),
    ]);
    inserted.or_failure()?;
    set_writer(connection, new.id, &LatestWriter { epoch: WriterEpoch::NONE, writer: None })
}

/// Removes a table and everything that refers to it.
pub(super) fn delete(connection: &Connection, table: TableId) -> Result<()> {
    let mut statement = connection.prepare_cached(statements::DELETE_TABLE).or_failure()?;
    statement.execute(params![table.as_bytes()]).or_failure().map(|_| ())
}

/// Returns one table.
pub(super) fn one(connection: &Connection, table: TableId) -> Result<TableRecord> {
    let found = read(connection, statements::TABLE, params![table.as_bytes()])?;
    found.into_iter().next().ok_or_else(|| no_table(table))
}

/// Returns all tables, ordered by name.
pub(super) fn all(connection: &Connection) -> Result<Vec<TableRecord>> {
    let mut records = read(connection, statements::TABLES, [])?;
    records.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(records)
}

fn read(connection: &Connection, sql: &str, key: impl Params) -> Result<Vec<TableRecord>> {
    let mut statement = connection.prepare_cached(sql).or_failure()?;
    let mut rows = statement.query(key).or_failure()?;
    let mut records = Vec::new();
    while let Some(row) = rows.next().or_failure()? {
        records.push(decode(connection, row)?);
    }
    Ok(records)
}

fn decode(connection: &Connection, row: &Row<'_>) -> Result<TableRecord> {
    let row = Stored::new("cayenne_table", row);
    let id = TableId::from_bytes(row.get(0)?);
    let (name, location): (String, String) = (row.get(1)?, row.get(2)?);
    let (columns, options, made_at) = (row.bytes(3)?, row.get::<String>(4)?, Timestamp(row.get(5)?));
    let described = Described { name: &name, location: &location, columns: &columns, options: &options, made_at };
    row.verify(row.digest(6)?, described.digest(id))?;
    let name = TableName::try_from(name.as_str()).map_err(|error| row.damaged().because(error))?;
    let schema = decode_schema(&columns).map_err(|error| row.named(error).with("table", &name))?;
    let options = TableOptions::decode(&options).map_err(|error| row.named(error).with("table", &name))?;
    let sequence = log::head(connection, id)?.sequence;
    // Every table has a writer row: one without is damage, and not a table that is not there.
    let LatestWriter { epoch, writer } = writer(connection, id).map_err(|error| row.damaged().because(error))?;
    Ok(TableRecord { id, name, location, schema, options, made_at, sequence, epoch, writer })
}

fn exists(connection: &Connection, sql: &str, key: impl Params) -> Result<bool> {
    connection.prepare_cached(sql).or_failure()?.exists(key).or_failure()
}
