//! Loads snapshots: index scans over the rows that were live at a sequence. Each row is verified, and then the sum of
//! their digests.

use cayenne_format::{
    BlockChecksums, CommitRecord, ContentHash, DataFile, DeletionFile, Error, FileId, FileStats, PartitionValue,
    Result, Sequence, Snapshot, SourcePosition, TableId, TombstoneFile,
};

use super::digest::{self, Columns};
use super::row::Stored;
use super::{Connection, Row, all, first, history, log, sources, staged, statements, tables, values};
use crate::StagedCommit;
use crate::metastore::{no_commit, no_file};

/// Returns the latest snapshot, or the one at sequence `at`. All of it is read in the open transaction.
pub(crate) fn snapshot(connection: &dyn Connection, table: TableId, at: Option<Sequence>) -> Result<Snapshot> {
    tables::writer(connection, table)?;
    let latest = log::head(connection, table)?;
    let oldest = history::of(connection, table)?.kept_from;
    // The latest snapshot consists of all live rows. It is not read by its sequence: if the log lost its end, that
    // would silently return an earlier state of the table.
    let (sequence, manifest, at) = match at {
        None => (latest.sequence, latest.manifest, Sequence::MAX),
        Some(Sequence::ZERO) => (Sequence::ZERO, 0, Sequence::ZERO),
        Some(sequence) => match log::at(connection, table, sequence)?.filter(|_| sequence >= oldest) {
            Some(entry) => (sequence, entry.manifest, sequence),
            None => return Err(no_commit(table, sequence, oldest, latest.sequence)),
        },
    };
    let mut scan = Scan { connection, table, at, sum: 0 };
    let files = scan.rows(statements::FILES_AT, Scan::file)?;
    let deletions = scan.rows(statements::DELETIONS_AT, Scan::deletion)?;
    let tombstones = scan.rows(statements::TOMBSTONES_AT, Scan::tombstones)?;
    if scan.sum != manifest {
        return Err(Error::corrupt("rows of the metastore are missing, or there when they should not be")
            .with("metastore_table", "data_file, deletion, tombstone_file")
            .with("table", table)
            .with("sequence", sequence));
    }
    Ok(Snapshot::from_records(table, sequence, files, deletions, tombstones))
}

/// Returns the block checksums of a data file, including one that is no longer live.
pub(crate) fn blocks(connection: &dyn Connection, table: TableId, file: FileId) -> Result<BlockChecksums> {
    tables::writer(connection, table)?;
    // A file that no known snapshot has may still have a row.
    let known_from = history::of(connection, table)?.known_from.number();
    let values = values![table.as_bytes(), file.as_bytes(), known_from];
    let found = first(connection, statements::BLOCKS, values, |row| {
        let row = Stored::new("data_file_blocks", row);
        let checksums = row.bytes(0)?;
        row.verify(row.digest(1)?, digest_of_blocks(table, file, &checksums))?;
        BlockChecksums::decode(&checksums).map_err(|error| row.named(error))
    });
    found.map_err(|error| error.with("file", file))?.ok_or_else(|| no_file(table, file))
}

/// Returns whether a known snapshot has this deletion or tombstone file.
pub(crate) fn knows_deletion(connection: &dyn Connection, table: TableId, file: FileId) -> Result<bool> {
    tables::writer(connection, table)?;
    let known_from = history::of(connection, table)?.known_from.number();
    let values = values![table.as_bytes(), file.as_bytes(), known_from];
    Ok(first(connection, statements::KNOWN_DELETION, values, |_| Ok(()))?.is_some())
}

/// Returns the commits of all snapshots that can be opened, earliest first.
pub(crate) fn commits(connection: &dyn Connection, table: TableId) -> Result<Vec<CommitRecord>> {
    tables::writer(connection, table)?;
    log::all(connection, table, history::of(connection, table)?.kept_from)
}

/// Returns the last position taken in from each stream.
pub(crate) fn sources(connection: &dyn Connection, table: TableId) -> Result<Vec<SourcePosition>> {
    tables::writer(connection, table)?;
    sources::all(connection, table)
}

/// Returns the staged commits of a table.
pub(crate) fn staged(connection: &dyn Connection, table: TableId) -> Result<Vec<StagedCommit>> {
    tables::writer(connection, table)?;
    staged::all(connection, table)
}

/// Returns the digest of the row with the block checksums of a data file.
pub(crate) fn digest_of_blocks(table: TableId, file: FileId, checksums: &[u8]) -> u128 {
    Columns::of("data_file_blocks", table).bytes(file.as_bytes()).bytes(checksums).digest()
}

struct Scan<'c> {
    connection: &'c dyn Connection,
    table: TableId,
    at: Sequence,
    sum: u128,
}

impl Scan<'_> {
    fn rows<T>(&mut self, sql: &'static str, decode: fn(&mut Self, &dyn Row) -> Result<T>) -> Result<Vec<T>> {
        let (connection, table, at) = (self.connection, self.table, self.at.number());
        all(connection, sql, values![table.as_bytes(), at], |row| decode(self, row))
    }

    fn file(&mut self, row: &dyn Row) -> Result<DataFile> {
        let row = Stored::new("data_file", row);
        let partition = row.bytes(8)?;
        let file = DataFile {
            id: row.file_id(1)?,
            added_at: row.sequence(2)?,
            rows: row.count(3)?,
            bytes: row.count(4)?,
            hash: ContentHash(row.digest(5)?),
            location: row.location(7, 10)?,
            partition: PartitionValue::decode_all(&partition).map_err(|error| row.named(error))?,
            stats: FileStats::from_bytes(row.bytes(9)?).map_err(|error| row.named(error))?,
        };
        self.count(&row, row.digest(6)?, digest::of_file(self.table, &file, &partition))?;
        Ok(file)
    }

    fn deletion(&mut self, row: &dyn Row) -> Result<DeletionFile> {
        let row = Stored::new("deletion", row);
        let deletion = DeletionFile {
            id: row.file_id(1)?,
            sequence: row.sequence(2)?,
            rows: row.count(3)?,
            location: row.location(5, 6)?,
            data_file: row.file_id(7)?,
        };
        self.count(&row, row.digest(4)?, digest::of_deletion(self.table, &deletion))?;
        Ok(deletion)
    }

    fn tombstones(&mut self, row: &dyn Row) -> Result<TombstoneFile> {
        let row = Stored::new("tombstone_file", row);
        let file = TombstoneFile {
            id: row.file_id(1)?,
            sequence: row.sequence(2)?,
            keys: row.count(3)?,
            location: row.location(5, 6)?,
        };
        self.count(&row, row.digest(4)?, digest::of_tombstones(self.table, &file))?;
        Ok(file)
    }

    fn count(&mut self, row: &Stored<'_>, stored: u128, computed: u128) -> Result<()> {
        row.verify(stored, computed)?;
        self.sum = self.sum.wrapping_add(computed);
        Ok(())
    }
}
