//! The interface of every metastore, and the records in its signatures.

use std::fmt;

use arrow_schema::SchemaRef;
use async_trait::async_trait;
use cayenne_format::{
    BlockChecksums, CommitId, CommitRecord, Error, Expiry, FileId, Operation, Result, Sequence, Snapshot,
    SourcePosition, TableCommit, TableId, TableName, TableOptions, TableState, Timestamp, WriterEpoch,
};

use crate::SqlViews;

/// A table to be created.
#[derive(Clone, Debug)]
pub struct NewTable {
    /// Its id, drawn by the caller, who may have written data files for it already.
    pub id: TableId,
    /// Its name. It must not be in use.
    pub name: TableName,
    /// Its data location: a folder relative to the data folder of the database.
    pub location: String,
    /// Its schema, exactly as declared.
    pub schema: SchemaRef,
    /// Its options.
    pub options: TableOptions,
    /// When it was created; informational only.
    pub made_at: Timestamp,
    /// Its initial content, which becomes visible together with the table or not at all.
    pub begins: Beginning,
    /// The table that it replaces, including its name, and the epoch of that table's latest writer. The replaced table
    /// is removed atomically with the creation. A table that replaces itself keeps that epoch.
    pub replaces: Option<(TableId, WriterEpoch)>,
}

/// The initial content of a table.
#[derive(Clone, Debug, PartialEq)]
pub enum Beginning {
    /// No rows.
    Empty,
    /// Its first rows.
    FirstRows(Box<TableCommit>),
    /// The state of a table at a sequence, from another metastore or from before the metastore was lost. The table
    /// continues from there: its log begins with that sequence, and no earlier snapshot can be opened.
    Restored(Box<Restored>),
}

/// The state of a table at a sequence, to be restored.
#[derive(Clone, Debug, PartialEq)]
pub struct Restored {
    /// The commit id that the log records for the restore.
    pub commit: CommitId,
    /// When the table was restored; informational only.
    pub made_at: Timestamp,
    /// The state to restore.
    pub state: TableState,
}

impl Restored {
    /// Returns the log entry of the restore, or `None` for a table before its first commit, which has no log.
    pub(crate) fn record(&self) -> Option<CommitRecord> {
        let TableState { sequence, files, deletions, .. } = &self.state;
        let sum = |counts: &mut dyn Iterator<Item = u64>| counts.fold(0_u64, u64::saturating_add);
        (*sequence > Sequence::ZERO).then(|| CommitRecord {
            id: self.commit,
            sequence: *sequence,
            operation: Operation::Restore,
            made_at: self.made_at,
            files_added: files.len() as u64,
            files_removed: 0,
            rows_added: sum(&mut files.iter().map(|new| new.file.rows)),
            rows_hidden: sum(&mut deletions.iter().map(|deletion| deletion.rows)),
        })
    }
}

/// The process that writes a table. The error for a fenced writer names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Writer {
    /// The host name of the machine.
    pub host: String,
    /// The process id.
    pub process: u32,
    /// When it became the writer; informational only.
    pub since: Timestamp,
}

impl fmt::Display for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} on {}", self.process, self.host)
    }
}

/// Everything that the metastore knows about a table except its files.
#[derive(Clone, Debug, PartialEq)]
pub struct TableRecord {
    /// Its id.
    pub id: TableId,
    /// Its name.
    pub name: TableName,
    /// Its data location: a folder relative to the data folder of the database.
    pub location: String,
    /// Its schema, exactly as declared.
    pub schema: SchemaRef,
    /// Its options.
    pub options: TableOptions,
    /// When it was created; informational only.
    pub made_at: Timestamp,
    /// The sequence of its latest commit.
    pub sequence: Sequence,
    /// The epoch of its latest writer.
    pub epoch: WriterEpoch,
    /// Its latest writer, whether or not that process still runs.
    pub writer: Option<Writer>,
    /// How far back its history reaches.
    pub history: History,
}

/// How far back the history of a table reaches. Both are 0 if no snapshot has expired.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// The earliest snapshot that can be opened.
    pub kept_from: Sequence,
    /// The earliest snapshot whose data files are still known, because a reader may have pinned it.
    pub known_from: Sequence,
}

impl History {
    /// Returns the history after `expiry`, for a table whose latest sequence is `latest`.
    pub(crate) fn after(self, expiry: &Expiry, latest: Sequence) -> Result<Self> {
        if expiry.keep_from > latest {
            return Err(Error::invalid("the latest snapshot cannot be given up").with("keep_from", expiry.keep_from));
        }
        if expiry.forget_before > self.kept_from {
            return Err(Error::invalid("snapshots that could be opened until now cannot be forgotten yet")
                .with("forget_before", expiry.forget_before)
                .with("kept_from", self.kept_from));
        }
        Ok(Self {
            kept_from: self.kept_from.max(expiry.keep_from),
            known_from: self.known_from.max(expiry.forget_before),
        })
    }
}

/// The key by which a table is looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TableKey {
    /// Its id.
    Id(TableId),
    /// Its name.
    Name(TableName),
}

/// A commit that is staged: it waits to be applied or discarded.
#[derive(Clone, Debug)]
pub struct StagedCommit {
    /// Its id.
    pub id: CommitId,
    /// The commit, or the error if it cannot be read any more.
    pub commit: Result<TableCommit>,
}

/// The commit log, the staged commits and the source positions of tables. Every method is atomic.
#[async_trait]
pub trait CommitLog: fmt::Debug + Send + Sync {
    /// Returns the commits of all snapshots that can be opened, earliest first.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is no such table.
    async fn load_log(&self, table: TableId) -> Result<Vec<CommitRecord>>;

    /// Returns the last position taken in from each stream, ordered by stream name.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is no such table.
    async fn load_sources(&self, table: TableId) -> Result<Vec<SourcePosition>>;

    /// Expires snapshots without a commit. Sequence and log stay as they are.
    ///
    /// # Errors
    ///
    /// `Invalid` if `expiry` goes too far; otherwise as [`stage`](Self::stage).
    async fn expire(&self, table: TableId, epoch: WriterEpoch, expiry: &Expiry) -> Result<()>;

    /// Stages a commit without applying it. It is durable when this returns, but part of no snapshot.
    ///
    /// Applying the commit removes it from the staged ones. A commit that was applied before is not staged; one that is
    /// staged already stays as it is.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is no such table; `Conflict` (code `fenced`) if its epoch is not that of the latest writer.
    async fn stage(&self, commit: &TableCommit) -> Result<()>;

    /// Returns the staged commits of a table, ordered by id. An unreadable one does not hide the others.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is no such table.
    async fn load_staged(&self, table: TableId) -> Result<Vec<StagedCommit>>;

    /// Discards a staged commit. Does nothing if it is not staged.
    ///
    /// # Errors
    ///
    /// As [`stage`](Self::stage).
    async fn discard_staged(&self, table: TableId, epoch: WriterEpoch, commit: CommitId) -> Result<()>;

    /// Returns whether a snapshot that is not forgotten names this deletion or tombstone file.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is no such table.
    async fn knows_deletion(&self, table: TableId, file: FileId) -> Result<bool>;

    /// Brings all changes so far to stable storage, for backends and settings that do not do so with each change. The
    /// caller must call this before it removes files that a change has made unreferenced: otherwise a power cut could
    /// undo the change, and the files would be missing.
    ///
    /// # Errors
    ///
    /// The error of the disk.
    async fn make_durable(&self) -> Result<()>;
}

/// Stores tables and their snapshots. Every method is atomic.
///
/// If a future is dropped before it is done, its work is either done completely or not begun.
#[async_trait]
pub trait Metastore: CommitLog + SqlViews {
    /// Creates a table with its initial content.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` if the id or the name is taken (code `view-exists` if a view has the name); the errors of
    /// [`commit`](Self::commit) for the first rows; `Corrupt` for a state that no commits lead to; the errors of
    /// [`drop_table`](Self::drop_table) for the table that it replaces.
    async fn create_table(&self, table: &NewTable) -> Result<TableRecord>;

    /// Removes a table and everything that belongs to it from the metastore. The caller removes its files.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is no such table; `Conflict` if `epoch` is not that of its latest writer.
    async fn drop_table(&self, table: TableId, epoch: WriterEpoch) -> Result<()>;

    /// Returns all tables, ordered by name.
    async fn list_tables(&self) -> Result<Vec<TableRecord>>;

    /// Returns one table, or `None` if there is none.
    async fn find_table(&self, key: &TableKey) -> Result<Option<TableRecord>>;

    /// Returns the latest snapshot, or the one at sequence `at`; the snapshot at [`Sequence::ZERO`] is the empty table.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is no such table, no commit with that sequence, or if the snapshot is no longer kept.
    async fn load_snapshot(&self, table: TableId, at: Option<Sequence>) -> Result<Snapshot>;

    /// Returns the block checksums of a data file of any kept snapshot.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is no such file.
    async fn load_blocks(&self, table: TableId, file: FileId) -> Result<BlockChecksums>;

    /// Makes the caller the writer of a table. This raises the epoch by one, so that earlier writers can no longer
    /// commit.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is no such table.
    async fn begin_writer(&self, table: TableId, writer: &Writer) -> Result<WriterEpoch>;

    /// Applies the commits together, or changes nothing. Returns the sequence of each.
    ///
    /// The commits are durable when this returns. A commit id that was applied before returns its first sequence and
    /// changes nothing. A source position that is not later than the last one of its stream returns the sequence of
    /// that one.
    ///
    /// # Errors
    ///
    /// `Conflict` (code `fenced`) if an epoch is not that of the latest writer; `Conflict` if a requirement does not
    /// hold; `Invalid` if a change contradicts the snapshot; `NotFound` if there is no such table; `Unavailable` (code
    /// `commit-unknown`) if the outcome was lost, so that only [`load_log`](CommitLog::load_log) can tell it.
    async fn commit(&self, commits: &[TableCommit]) -> Result<Vec<Sequence>>;

    /// Finishes the work in progress, tidies up and closes. Every later call fails, except that closing twice is
    /// harmless.
    async fn close(&self) -> Result<()>;
}

/// The error for a table that does not exist.
pub(crate) fn no_table(table: TableId) -> Error {
    Error::not_found("no such table").with("table", table)
}

/// The error for a snapshot that is not kept.
pub(crate) fn no_commit(table: TableId, sequence: Sequence, oldest: Sequence, latest: Sequence) -> Error {
    Error::not_found("no snapshot with this sequence is kept")
        .with("table", table)
        .with("sequence", sequence)
        .with("oldest", oldest)
        .with("latest", latest)
}

/// The error for a data file that is in no kept snapshot.
pub(crate) fn no_file(table: TableId, file: FileId) -> Error {
    Error::not_found("no such data file").with("table", table).with("file", file)
}

/// The error for a writer that is not the latest, or no longer.
pub(crate) fn fenced(table: TableId, epoch: WriterEpoch, latest: WriterEpoch, writer: Option<&Writer>) -> Error {
    let error = Error::conflict("another writer has taken over the table")
        .code("fenced")
        .with("table", table)
        .with("epoch", epoch)
        .with("latest_epoch", latest)
        .help("open the table again to become its writer");
    match writer {
        Some(writer) => error.with("writer", writer),
        None => error,
    }
}

/// Returns the epoch of the next writer.
pub(crate) fn epoch_after(epoch: WriterEpoch) -> Result<WriterEpoch> {
    let next =
        epoch.number().checked_add(1).ok_or_else(|| Error::resource_limit("the table has used up its epochs"))?;
    Ok(WriterEpoch::new(next))
}

/// Fails unless the first rows of a table belong to it.
pub(crate) fn require_own(new: &NewTable, first: &TableCommit) -> Result<()> {
    if first.table == new.id {
        return Ok(());
    }
    Err(Error::internal("the first rows are those of another table").with("table", first.table))
}
