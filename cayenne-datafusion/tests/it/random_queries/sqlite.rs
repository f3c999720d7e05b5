//! The reference that is always available: SQLite in this process.

use rusqlite::Connection;
use rusqlite::types::ValueRef;

use super::answer::{Answer, Cell};
use super::reference::Reference;
use super::statements::CHANGED;
use super::tree::Dialect;
use super::world::World;

pub(super) struct Sqlite(Connection);

impl Reference for Sqlite {
    const DIALECT: Dialect = Dialect::Sqlite;

    fn open(world: &World) -> Self {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("PRAGMA case_sensitive_like = ON").unwrap();
        for statement in super::reference::statements(world, Self::DIALECT) {
            connection.execute_batch(&statement).unwrap();
        }
        Self(connection)
    }

    fn query(&mut self, text: &str) -> Result<Answer, String> {
        self.rows(text).map_err(|error| error.to_string())
    }

    fn change(&mut self, text: &str) -> Result<Answer, String> {
        self.0.execute_batch("BEGIN").unwrap();
        let rows = self.0.execute(text, []).and_then(|_| self.rows(&format!("SELECT * FROM {CHANGED}")));
        self.0.execute_batch("ROLLBACK").unwrap();
        rows.map_err(|error| error.to_string())
    }
}

impl Sqlite {
    fn rows(&self, text: &str) -> rusqlite::Result<Answer> {
        let mut statement = self.0.prepare(text)?;
        let width = statement.column_count();
        let mut rows = statement.query([])?;
        let mut answer = Vec::new();
        while let Some(row) = rows.next()? {
            let cells = (0..width).map(|at| row.get_ref(at).map(cell));
            answer.push(cells.collect::<rusqlite::Result<_>>()?);
        }
        Ok(Answer(answer))
    }
}

fn cell(value: ValueRef<'_>) -> Cell {
    match value {
        ValueRef::Null => Cell::Null,
        #[expect(clippy::cast_precision_loss, reason = "the tables hold small numbers")]
        ValueRef::Integer(number) => Cell::number(number as f64),
        ValueRef::Real(number) => Cell::number(number),
        ValueRef::Text(text) => Cell::Text(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Blob(bytes) => Cell::Text(format!("{bytes:?}")),
    }
}
