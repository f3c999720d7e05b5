//! Digests of rows and of whole manifests. SQLite keeps no checksum of its pages, so each row carries its own.
//!
//! The digest of a row shows that the row is damaged. The sum of the digests of all live rows, stored with each commit,
//! shows that a row is missing or should not exist.

use cayenne_format::{ContentHash, DataFile, DeletionFile, Location, TableId, TombstoneFile};

/// Computes the XXH3-128 of the columns of a row. Each column is preceded by its length, so that no two rows have the
/// same input.
pub(super) struct Columns(Vec<u8>);

impl Columns {
    /// Begins with the name of the metastore table and the id of the table that the row belongs to.
    pub(super) fn of(kind: &'static str, table: TableId) -> Self {
        Self::of_kind(kind).bytes(table.as_bytes())
    }

    /// Begins with the name of the metastore table, for a row that belongs to no table.
    pub(super) fn of_kind(kind: &'static str) -> Self {
        Self(Vec::with_capacity(256)).bytes(kind.as_bytes())
    }

    pub(super) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        self.0.extend_from_slice(bytes);
        self
    }

    pub(super) fn number(mut self, number: u64) -> Self {
        self.0.extend_from_slice(&number.to_le_bytes());
        self
    }

    pub(super) fn signed(self, number: i64) -> Self {
        self.number(number.cast_unsigned())
    }

    fn location(self, location: &Location) -> Self {
        match location {
            Location::Path(path) => self.number(0).bytes(path.as_bytes()),
            Location::Inline(bytes) => self.number(1).bytes(bytes),
        }
    }

    pub(super) fn digest(&self) -> u128 {
        ContentHash::of(&self.0).0
    }
}

/// Returns the digest of the row of a data file; `partition` is the stored form of its partition values.
pub(super) fn of_file(table: TableId, file: &DataFile, partition: &[u8]) -> u128 {
    Columns::of("data_file", table)
        .bytes(file.id.as_bytes())
        .number(file.added_at.number())
        .number(file.rows)
        .number(file.bytes)
        .bytes(&file.hash.0.to_be_bytes())
        .location(&file.location)
        .bytes(partition)
        .bytes(file.stats.as_bytes())
        .digest()
}

/// Returns the digest of the row of a deletion file.
pub(super) fn of_deletion(table: TableId, deletion: &DeletionFile) -> u128 {
    Columns::of("deletion", table)
        .bytes(deletion.id.as_bytes())
        .bytes(deletion.data_file.as_bytes())
        .number(deletion.sequence.number())
        .number(deletion.rows)
        .location(&deletion.location)
        .digest()
}

/// Returns the digest of the row of a tombstone file.
pub(super) fn of_tombstones(table: TableId, file: &TombstoneFile) -> u128 {
    Columns::of("tombstone_file", table)
        .bytes(file.id.as_bytes())
        .number(file.sequence.number())
        .number(file.keys)
        .location(&file.location)
        .digest()
}
