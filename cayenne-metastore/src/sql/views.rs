//! The rows of views of SQL.

use cayenne_format::{Result, TableName, Timestamp, decode_schema, encode_schema};

use super::digest::Columns;
use super::migrations::VERSION_WITH_VIEWS;
use super::row::Stored;
use super::{Connection, Row, Value, all as all_rows, first, identity, statements, values};
use crate::SqlView;
use crate::sql_view::{name_of_table, name_of_view};

fn digest(view: &SqlView, columns: &[u8]) -> u128 {
    let catalog = view.default_catalog.as_deref();
    Columns::of_kind("cayenne_view")
        .bytes(view.name.as_str().as_bytes())
        .bytes(view.definition.as_bytes())
        .number(catalog.is_some().into())
        .bytes(catalog.unwrap_or_default().as_bytes())
        .bytes(view.default_schema.as_bytes())
        .bytes(view.dialect.as_bytes())
        .bytes(columns)
        .signed(view.made_at.0)
        .digest()
}

fn decode(row: &dyn Row) -> Result<SqlView> {
    let row = Stored::new("cayenne_view", row);
    let columns = row.bytes(5)?;
    let name = TableName::try_from(row.text(0)?).map_err(|error| row.damaged().because(error))?;
    let schema = decode_schema(&columns).map_err(|error| row.named(error).with("view", &name))?;
    let view = SqlView {
        name,
        definition: row.text(1)?.to_owned(),
        default_catalog: row.text_if_any(2)?.map(str::to_owned),
        default_schema: row.text(3)?.to_owned(),
        dialect: row.text(4)?.to_owned(),
        columns: schema,
        made_at: Timestamp(row.integer(6)?),
    };
    let named = |error: cayenne_format::Error| error.with("view", &view.name);
    row.verify(row.digest(7)?, digest(&view, &columns)).map_err(named)?;
    Ok(view)
}

/// Fails if a view has this name.
pub(super) fn require_free(connection: &dyn Connection, name: &TableName) -> Result<()> {
    if exists(connection, statements::VIEW_NAME_IS_TAKEN, name)? { Err(name_of_view(name)) } else { Ok(()) }
}

/// Creates a view. If `replace`, it replaces the view with its name.
pub(super) fn create(connection: &dyn Connection, view: &SqlView, replace: bool) -> Result<()> {
    if exists(connection, statements::TABLE_NAME_IS_TAKEN, &view.name)? {
        return Err(name_of_table(&view.name));
    }
    if replace {
        delete(connection, &view.name)?;
    }
    require_free(connection, &view.name)?;
    let columns = encode_schema(&view.columns);
    connection.execute(
        statements::INSERT_VIEW,
        values![
            view.name.as_str(),
            view.definition.as_str(),
            view.default_catalog.as_deref(),
            view.default_schema.as_str(),
            view.dialect.as_str(),
            columns.as_ref(),
            view.made_at.0,
            &digest(view, &columns).to_be_bytes(),
        ],
    )
}

/// Removes a view. Returns whether it existed.
pub(super) fn delete(connection: &dyn Connection, name: &TableName) -> Result<bool> {
    let found = exists(connection, statements::VIEW_NAME_IS_TAKEN, name)?;
    if found {
        connection.execute(statements::DELETE_VIEW, values![name.as_str()])?;
    }
    Ok(found)
}

/// Returns the view with this name, if there is one.
pub(super) fn find(connection: &dyn Connection, name: &TableName) -> Result<Option<SqlView>> {
    Ok(read(connection, statements::VIEW, values![name.as_str()])?.into_iter().next())
}

/// Returns all views, ordered by name.
pub(super) fn all(connection: &dyn Connection) -> Result<Vec<SqlView>> {
    let mut views = read(connection, statements::VIEWS, &[])?;
    views.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(views)
}

/// Reads views. A file that is open read-only may be of a version without views.
fn read(connection: &dyn Connection, sql: &'static str, key: &[Value<'_>]) -> Result<Vec<SqlView>> {
    if identity::version(connection)? < VERSION_WITH_VIEWS {
        return Ok(Vec::new());
    }
    all_rows(connection, sql, key, decode)
}

fn exists(connection: &dyn Connection, sql: &'static str, name: &TableName) -> Result<bool> {
    first(connection, sql, values![name.as_str()], |_| Ok(())).map(|found| found.is_some())
}
