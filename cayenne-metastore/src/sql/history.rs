//! How far back snapshots can be opened, and the deletion of rows that only forgotten snapshots have.

use cayenne_format::{Expiry, Result, Sequence, TableId};

use super::digest::Columns;
use super::row::Stored;
use super::{Connection, all, first, roll_back, statements, values};
use crate::metastore::History;

/// Returns how far back the history of a table reaches.
pub(super) fn of(connection: &dyn Connection, table: TableId) -> Result<History> {
    let found = first(connection, statements::HISTORY, values![table.as_bytes()], |row| {
        let row = Stored::new("history", row);
        let history = History { kept_from: row.sequence(0)?, known_from: row.sequence(1)? };
        row.verify(row.digest(2)?, digest_of(table, history))?;
        Ok(history)
    });
    Ok(found?.unwrap_or_default())
}

/// Expires snapshots of a table whose latest sequence is `latest`.
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
    connection.execute(statements::FORGET_COMMITS, values![table.as_bytes(), after.known_from.number()])
}

/// The number of forgotten rows that one call deletes. A forgotten row belongs to no known snapshot.
#[derive(Clone, Copy)]
pub(super) struct Portion {
    /// Rows of data files. Those of inline data files are large.
    pub(super) files: u64,
    /// Rows of deletions and of tombstone files, for each kind.
    pub(super) hiding: u64,
}

impl Portion {
    /// Small enough that its cost is not noticeable.
    pub(super) const LEAST: Self = Self { files: 4, hiding: 4 };
    /// The most that a close deletes of each table, however many rows are left.
    const LAST: Self = Self { files: 10_000, hiding: 100_000 };
}

/// Deletes some of the rows that belong to no known snapshot, oldest first. It reads no more rows than it deletes.
///
/// These rows can be deleted at any time, since no read returns them. Deletion is spread over commits: a commit that
/// deleted all the rows that a flush has moved would delay the commits behind it by tens of milliseconds.
pub(super) fn forget(connection: &dyn Connection, table: TableId, portion: Portion) -> Result<()> {
    let known_from = of(connection, table)?.known_from;
    if known_from == Sequence::ZERO {
        return Ok(());
    }
    let (id, known_from, Portion { files, hiding }) = (table.as_bytes(), known_from.number(), portion);
    connection.execute(statements::FORGET_DELETIONS_OF_FILES, values![id, known_from, files, hiding])?;
    connection.execute(statements::FORGET_FILES, values![id, known_from, files])?;
    statements::FORGET_HIDING.iter().try_for_each(|sql| connection.execute(sql, values![id, known_from, hiding]))
}

/// Deletes the remaining forgotten rows of all tables, up to a limit for each, before a metastore is closed.
pub(crate) fn forget_rest(connection: &dyn Connection) -> Result<()> {
    let tables = all(connection, statements::TABLES_WITH_HISTORY, values![], |row| {
        Stored::new("history", row).id(0).map(TableId::from_bytes)
    })?;
    connection.script(statements::BEGIN_WRITE)?;
    let forgotten = tables.into_iter().try_for_each(|table| forget(connection, table, Portion::LAST));
    match forgotten.and_then(|()| connection.commit().map_err(|uncommitted| uncommitted.error)) {
        Ok(()) => Ok(()),
        Err(error) => roll_back(connection).and(Err(error)),
    }
}

/// Records that a new table has no history before this sequence.
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
