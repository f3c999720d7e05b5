//! Staged commits: durable, but not applied.

use bytes::Bytes;
use cayenne_format::{CommitId, Error, Result, TableCommit, TableId};

use super::digest::Columns;
use super::row::Stored;
use super::{Connection, Row, all as all_rows, statements, values};
use crate::StagedCommit;

/// Stages a commit, unless it is staged already.
pub(super) fn insert(connection: &dyn Connection, commit: &TableCommit) -> Result<()> {
    let bytes = commit.encode();
    let digest = digest_of(commit.table, commit.id, &bytes);
    connection.execute(
        statements::INSERT_STAGED,
        values![commit.table.as_bytes(), commit.id.as_bytes(), bytes.as_ref(), &digest.to_be_bytes()],
    )
}

/// Removes a staged commit, if it is staged.
pub(super) fn delete(connection: &dyn Connection, table: TableId, commit: CommitId) -> Result<()> {
    connection.execute(statements::DELETE_STAGED, values![table.as_bytes(), commit.as_bytes()])
}

/// Returns all staged commits of a table.
pub(super) fn all(connection: &dyn Connection, table: TableId) -> Result<Vec<StagedCommit>> {
    let decode = |row: &dyn Row| {
        let row = Stored::new("staged", row);
        let id = CommitId::from_bytes(row.id(0)?);
        Ok(StagedCommit { id, commit: decode(table, id, &row) })
    };
    all_rows(connection, statements::STAGED, values![table.as_bytes()], decode)
}

fn decode(table: TableId, id: CommitId, row: &Stored<'_>) -> Result<TableCommit> {
    let bytes: Bytes = row.bytes(1)?;
    row.verify(row.digest(2)?, digest_of(table, id, &bytes))?;
    let commit = TableCommit::decode(&bytes).map_err(|error| row.named(error))?;
    if (commit.id, commit.table) == (id, table) { Ok(commit) } else { Err(other_commit(id)) }
}

fn other_commit(id: CommitId) -> Error {
    Error::corrupt("a staged commit is stored under the id of another").with("commit", id)
}

fn digest_of(table: TableId, id: CommitId, bytes: &[u8]) -> u128 {
    Columns::of("staged", table).bytes(id.as_bytes()).bytes(bytes).digest()
}
