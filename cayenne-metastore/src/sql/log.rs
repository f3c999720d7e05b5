//! The commit log: the applied commits, and the digest of the manifest after each.

use cayenne_format::{CommitId, CommitRecord, Error, Result, Sequence, TableId, Timestamp};

use super::digest::Columns;
use super::row::Stored;
use super::{Connection, Row, Value, first, statements, values};

/// One row of the log.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) record: CommitRecord,
    /// The sum of the digests of all rows that are live after the commit.
    pub(super) manifest: u128,
    /// The chain of the commit before it.
    parent: u128,
    /// The digest of this row and, through `parent`, of all rows before it.
    chain: u128,
}

impl Entry {
    /// Returns the entry that follows the one with the chain `parent`.
    pub(super) fn new(table: TableId, record: CommitRecord, manifest: u128, parent: u128) -> Self {
        let mut entry = Self { record, manifest, parent, chain: 0 };
        entry.chain = entry.digest(table);
        entry
    }

    fn digest(&self, table: TableId) -> u128 {
        let record = &self.record;
        Columns::of("commit_log", table)
            .number(record.sequence.number())
            .bytes(record.id.as_bytes())
            .bytes(record.operation.word().as_bytes())
            .signed(record.made_at.0)
            .number(record.files_added)
            .number(record.files_removed)
            .number(record.rows_added)
            .number(record.rows_hidden)
            .bytes(&self.manifest.to_be_bytes())
            .bytes(&self.parent.to_be_bytes())
            .digest()
    }

    fn decode(table: TableId, row: &dyn Row) -> Result<Self> {
        let row = Stored::new("commit_log", row);
        let record = CommitRecord {
            sequence: row.sequence(0)?,
            id: CommitId::from_bytes(row.id(1)?),
            operation: row.text(2)?.parse().map_err(|error| row.named(error))?,
            made_at: Timestamp(row.integer(3)?),
            files_added: row.count(4)?,
            files_removed: row.count(5)?,
            rows_added: row.count(6)?,
            rows_hidden: row.count(7)?,
        };
        let entry = Self { record, manifest: row.digest(8)?, parent: row.digest(9)?, chain: row.digest(10)? };
        row.verify(entry.chain, entry.digest(table))?;
        Ok(entry)
    }
}

/// The state that the next commit of a table builds on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head {
    pub(super) sequence: Sequence,
    pub(super) manifest: u128,
    pub(super) chain: u128,
}

/// Returns the state that the next commit builds on; for a table without commits, that is the empty table.
pub(super) fn head(connection: &dyn Connection, table: TableId) -> Result<Head> {
    let last = one(connection, statements::LAST_COMMIT, table, values![table.as_bytes()])?;
    Ok(match last {
        Some(entry) => Head { sequence: entry.record.sequence, manifest: entry.manifest, chain: entry.chain },
        None => Head { sequence: Sequence::ZERO, manifest: 0, chain: 0 },
    })
}

/// Returns the entry of the commit with this sequence.
pub(super) fn at(connection: &dyn Connection, table: TableId, sequence: Sequence) -> Result<Option<Entry>> {
    let number = sequence.number();
    one(connection, statements::COMMIT_AT, table, values![table.as_bytes(), number])
}

/// Returns the sequence of a commit, if it was applied.
pub(super) fn sequence_of(connection: &dyn Connection, table: TableId, commit: CommitId) -> Result<Option<Sequence>> {
    let key = values![table.as_bytes(), commit.as_bytes()];
    first(connection, statements::SEQUENCE_OF_COMMIT, key, |row| Stored::new("commit_log", row).sequence(0))
}

/// Adds an entry.
pub(super) fn insert(connection: &dyn Connection, table: TableId, entry: &Entry) -> Result<()> {
    let record = &entry.record;
    connection.execute(
        statements::INSERT_COMMIT,
        values![
            table.as_bytes(),
            record.sequence.number(),
            record.id.as_bytes(),
            record.operation.word(),
            record.made_at.0,
            record.files_added,
            record.files_removed,
            record.rows_added,
            record.rows_hidden,
            &entry.manifest.to_be_bytes(),
            &entry.parent.to_be_bytes(),
            &entry.chain.to_be_bytes(),
        ],
    )
}

/// Returns the commits of a table from a sequence on, earliest first. A changed, lost or moved entry is an error.
pub(super) fn all(connection: &dyn Connection, table: TableId, from: Sequence) -> Result<Vec<CommitRecord>> {
    let mut records = Vec::new();
    let mut before: Option<u128> = None;
    connection.query(statements::COMMITS, values![table.as_bytes(), from.number()], &mut |row| {
        let entry = Entry::decode(table, row)?;
        // The log may begin late if earlier snapshots have expired; from its first entry on it is complete.
        if before.is_some_and(|chain| chain != entry.parent) {
            return Err(Error::corrupt("a commit is missing in the log")
                .with("metastore_table", "commit_log")
                .with("before", entry.record.sequence));
        }
        before = Some(entry.chain);
        records.push(entry.record);
        Ok(())
    })?;
    Ok(records)
}

fn one(connection: &dyn Connection, sql: &'static str, table: TableId, key: &[Value<'_>]) -> Result<Option<Entry>> {
    first(connection, sql, key, |row| Entry::decode(table, row))
}
