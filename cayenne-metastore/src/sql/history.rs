//! How far back snapshots can be opened, and forgetting what came before.

use cayenne_format::{Expiry, Result, Sequence, TableId};

use super::digest::Columns;
use super::row::Stored;
use super::{Connection, first, statements, values};
use crate::metastore::History;

/// Returns how much history there is.
pub(super) fn of(connection: &dyn Connection, table: TableId) -> Result<History> {
    let found = first(connection, statements::HISTORY, values![table.as_bytes()], |row| {
        let row = Stored::new("history", row);
        let history = History { kept_from: row.sequence(0)?, known_from: row.sequence(1)? };
        row.verify(row.digest(2)?, digest_of(table, history))?;
        Ok(history)
    });
    Ok(found?.unwrap_or_default())
}

/// Gives up history of a table whose latest sequence is this.
pub(super) fn give_up(connection: &dyn Connection, table: TableId, latest: Sequence, expiry: &Expiry) -> Result<()> {
    let before = of(connection, table)?;
    let after = before.after(expiry, latest)?;
    if after == before {
        return Ok(());
    }
    set(connection, table, after)?;
    if after.known_from == before.known_from {
        return Ok(());
    }
    let known_from = values![table.as_bytes(), after.known_from.number()];
    statements::FORGET.iter().try_for_each(|forget| connection.execute(forget, known_from))
}

/// Says that a new table has no history before this sequence.
pub(super) fn begin(connection: &dyn Connection, table: TableId, sequence: Sequence) -> Result<()> {
    set(connection, table, History { kept_from: sequence, known_from: sequence })
}

fn set(connection: &dyn Connection, table: TableId, history: History) -> Result<()> {
    let digest = digest_of(table, history).to_be_bytes();
    let values = values![table.as_bytes(), history.kept_from.number(), history.known_from.number(), &digest];
    connection.execute(statements::SET_HISTORY, values)
}

fn digest_of(table: TableId, history: History) -> u128 {
    Columns::of("history", table).number(history.kept_from.number()).number(history.known_from.number()).digest()
}
