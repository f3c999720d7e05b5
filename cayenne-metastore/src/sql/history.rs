//! How far back snapshots can be opened, and forgetting what came before.

use cayenne_format::{Expiry, Result, Sequence, TableId};

use super::digest::Columns;
use super::row::Stored;
use super::{Connection, first, statements, values};
use crate::metastore::check_expiry;

/// Returns the earliest snapshot that can be opened.
pub(super) fn kept_from(connection: &dyn Connection, table: TableId) -> Result<Sequence> {
    let found = first(connection, statements::KEPT_FROM, values![table.as_bytes()], |row| {
        let row = Stored::new("history", row);
        let kept_from = row.sequence(0)?;
        row.verify(row.digest(1)?, digest_of(table, kept_from))?;
        Ok(kept_from)
    });
    Ok(found?.unwrap_or(Sequence::ZERO))
}

/// Gives up history with the commit that has `sequence`.
pub(super) fn give_up(connection: &dyn Connection, table: TableId, sequence: Sequence, expiry: &Expiry) -> Result<()> {
    let kept_from = kept_from(connection, table)?;
    check_expiry(expiry, sequence, kept_from)?;
    if expiry.keep_from > kept_from {
        let digest = digest_of(table, expiry.keep_from).to_be_bytes();
        let values = values![table.as_bytes(), expiry.keep_from.number(), &digest];
        connection.execute(statements::SET_KEPT_FROM, values)?;
    }
    if expiry.forget_before == Sequence::ZERO {
        return Ok(());
    }
    let before = values![table.as_bytes(), expiry.forget_before.number()];
    statements::FORGET.iter().try_for_each(|forget| connection.execute(forget, before))
}

fn digest_of(table: TableId, kept_from: Sequence) -> u128 {
    Columns::of("history", table).number(kept_from.number()).digest()
}
