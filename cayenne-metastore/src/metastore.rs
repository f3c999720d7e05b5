//! The interface of every metastore, and the records it speaks in.

use std::fmt;

use arrow_schema::SchemaRef;
use async_trait::async_trait;
use cayenne_format::{
    BlockChecksums, CommitId, CommitRecord, Error, Expiry, FileId, Operation, Result, Sequence, Snapshot,
    SourcePosition, TableCommit, TableId, TableName, TableOptions, TableState, Timestamp, WriterEpoch,
};

use crate::SqlViews;

/// A table to be made.
#[derive(Clone, Debug)]
pub struct NewTable {
    /// Its id, drawn by the caller, who has perhaps written data files for it already.
    pub id: TableId,
    /// Its name, not in use.
    pub name: TableName,
    /// Its data location: a folder relative to the data folder of the database.
    pub location: String,
    /// Its schema, exactly as declared.
    pub schema: SchemaRef,
    /// Its options.
    pub options: TableOptions,
    /// When it was made, for people.
    pub made_at: Timestamp,
    /// What it begins with; that becomes visible together with the table or not at all.
    pub begins: Beginning,
    /// The table whose place it takes, name and all, and the epoch of that table's latest writer. That one is forgotten
    /// in the same moment. A table that takes its own place keeps that epoch.
    pub replaces: Option<(TableId, WriterEpoch)>,
}

/// What a table begins with.
#[derive(Clone, Debug, PartialEq)]
pub enum Beginning {
    /// Nothing.
    Empty,
    /// Its first rows.
    FirstRows(Box<TableCommit>),
    /// What a table was at a sequence, somewhere else or before the metastore was lost. It goes on from there: its log
    /// begins with that sequence, and no snapshot before it can be opened.
    Restored(Box<Restored>),
}

/// A table as it was at a sequence.
#[derive(Clone, Debug, PartialEq)]
pub struct Restored {
    /// The id that the log gives to the bringing back.
    pub commit: CommitId,
    /// When that was, for people.
    pub made_at: Timestamp,
    /// What the table is.
    pub state: TableState,
}

impl Restored {
    /// Returns what the log says of it, if it says anything: a table before its first commit has no log.
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

/// Who writes a table, for the message that another writer gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Writer {
    /// The name of the machine.
    pub host: String,
    /// The number of the process.
    pub process: u32,
    /// Since when, for people.
    pub since: Timestamp,
}

impl fmt::Display for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} on {}", self.process, self.host)
    }
}

/// What is known of a table besides its files.
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
    /// When it was made, for people.
    pub made_at: Timestamp,
    /// The sequence of its latest commit.
    pub sequence: Sequence,
    /// The epoch of its latest writer.
    pub epoch: WriterEpoch,
    /// Its latest writer, alive or not.
    pub writer: Option<Writer>,
    /// How much of its history there is.
    pub history: History,
}

/// How much history of a table there is. Both are 0 where nothing was given up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// The earliest snapshot that can be opened.
    pub kept_from: Sequence,
    /// The earliest snapshot whose data files are still known, because somebody may read it.
    pub known_from: Sequence,
}

impl History {
    /// Returns what is left after `expiry`, in a table whose latest sequence is this.
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

/// What a table is looked for by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TableKey {
    /// Its id.
    Id(TableId),
    /// Its name.
    Name(TableName),
}

/// A commit that waits to be applied or discarded.
#[derive(Clone, Debug)]
pub struct StagedCommit {
    /// Its id.
    pub id: CommitId,
    /// The commit, or why it cannot be read any more.
    pub commit: Result<TableCommit>,
}

/// What a metastore knows of commits besides the snapshots that they made. Every method is atomic.
#[async_trait]
pub trait CommitLog: fmt::Debug + Send + Sync {
    /// Returns the commits of all snapshots that can be opened, earliest first.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is no such table.
    async fn load_log(&self, table: TableId) -> Result<Vec<CommitRecord>>;

    /// Returns what was taken in of each stream, ordered by the names of the streams.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is no such table.
    async fn load_sources(&self, table: TableId) -> Result<Vec<SourcePosition>>;

    /// Gives up history without a commit. Sequence and log stay as they are.
    ///
    /// # Errors
    ///
    /// `Invalid` if it goes too far; else as [`stage`](Self::stage).
    async fn expire(&self, table: TableId, epoch: WriterEpoch, expiry: &Expiry) -> Result<()>;

    /// Notes a commit without applying it. It is durable when this returns, and part of no snapshot.
    ///
    /// It is no longer staged once it is applied. One that was applied before is not noted; one that was staged before
    /// stays as it is.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is no such table; `Conflict` (code `fenced`) if its epoch is not that of the latest writer.
    async fn stage(&self, commit: &TableCommit) -> Result<()>;

    /// Returns the staged commits of a table, in the order of their ids. One that cannot be read does not hide the others.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is no such table.
    async fn load_staged(&self, table: TableId) -> Result<Vec<StagedCommit>>;

    /// Forgets a staged commit; one that is not there is fine.
    ///
    /// # Errors
    ///
    /// As [`stage`](Self::stage).
    async fn discard_staged(&self, table: TableId, epoch: WriterEpoch, commit: CommitId) -> Result<()>;

    /// Says whether a snapshot that is not forgotten names this deletion or tombstone file.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is no such table.
    async fn knows_deletion(&self, table: TableId, file: FileId) -> Result<bool>;

    /// Brings everything that was changed until now to stable storage, where that is not done with each change. Files that
    /// a change has made nobody's must not go before it: after a power cut they would be missing.
    ///
    /// # Errors
    ///
    /// What the disk says.
    async fn make_durable(&self) -> Result<()>;
}

/// Remembers tables and their snapshots. Every method is atomic.
///
/// A future that is dropped before it is done leaves its work either done or not begun.
#[async_trait]
pub trait Metastore: CommitLog + SqlViews {
    /// Makes a table, with what it begins with.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` if the name or the id is taken, the name perhaps by a view (code `view-exists`); what [`commit`](Self::commit) returns for the first rows; `Corrupt`
    /// for a state that no commits lead to; what [`drop_table`](Self::drop_table) returns for the table that it replaces.
    async fn create_table(&self, table: &NewTable) -> Result<TableRecord>;

    /// Forgets a table and everything that belongs to it. The caller removes the files.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is no such table; `Conflict` if `epoch` is not that of its latest writer.
    async fn drop_table(&self, table: TableId, epoch: WriterEpoch) -> Result<()>;

    /// Returns all tables, ordered by name.
    async fn list_tables(&self) -> Result<Vec<TableRecord>>;

    /// Returns one table, or `None` if there is none.
    async fn find_table(&self, key: &TableKey) -> Result<Option<TableRecord>>;

    /// Returns the latest snapshot, or the one at a sequence; at [`Sequence::ZERO`] that is the empty table.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is no such table, no commit with that sequence, or if it is no longer kept.
    async fn load_snapshot(&self, table: TableId, at: Option<Sequence>) -> Result<Snapshot>;

    /// Returns the block checksums of a data file of any kept snapshot.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is no such file.
    async fn load_blocks(&self, table: TableId, file: FileId) -> Result<BlockChecksums>;

    /// Makes the caller the writer of a table: raises the epoch by one, so that earlier writers can no longer commit.
    ///
    /// # Errors
    ///
    /// `NotFound` if there is no such table.
    async fn begin_writer(&self, table: TableId, writer: &Writer) -> Result<WriterEpoch>;

    /// Applies the commits together, or changes nothing. Returns the sequence of each.
    ///
    /// Durable when it returns. A commit id that was applied before gives its first sequence again and changes nothing;
    /// a source position that is not later than the last one of its stream gives the sequence of that one.
    ///
    /// # Errors
    ///
    /// `Conflict` (code `fenced`) if an epoch is not that of the latest writer; `Conflict` if a requirement does not
    /// hold; `Invalid` if a change contradicts the snapshot; `NotFound` if there is no such table; `Unavailable` (code
    /// `commit-unknown`) if the answer was lost, so that only [`load_log`](CommitLog::load_log) can tell.
    async fn commit(&self, commits: &[TableCommit]) -> Result<Vec<Sequence>>;

    /// Finishes what is under way, tidies up and closes. Nothing works afterwards; closing twice is harmless.
    async fn close(&self) -> Result<()>;
}

/// The error for a table that is not there.
pub(crate) fn no_table(table: TableId) -> Error {
    Error::not_found("no such table").with("table", table)
}

/// The error for a snapshot that is not there.
pub(crate) fn no_commit(table: TableId, sequence: Sequence, oldest: Sequence, latest: Sequence) -> Error {
    Error::not_found("no snapshot with this sequence is kept")
        .with("table", table)
        .with("sequence", sequence)
        .with("oldest", oldest)
        .with("latest", latest)
}

/// The error for a data file that no kept snapshot has.
pub(crate) fn no_file(table: TableId, file: FileId) -> Error {
    Error::not_found("no such data file").with("table", table).with("file", file)
}

/// The error for a writer that is not, or no longer, the latest.
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

/// Says that the first rows of a table are its own.
pub(crate) fn require_own(new: &NewTable, first: &TableCommit) -> Result<()> {
    if first.table == new.id {
        return Ok(());
    }
    Err(Error::internal("the first rows are those of another table").with("table", first.table))
}
