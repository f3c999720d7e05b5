//! A change of a table as a value, and the pure function that applies it.
//!
//! Every metastore is tested against [`TableCommit::apply`].

use std::fmt;
use std::str::FromStr;

use crate::{
    BlockChecksums, CommitId, DataFile, DeletionFile, Error, FileId, Result, Sequence, Snapshot, TableId, Timestamp,
    TombstoneFile, WriterEpoch,
};

/// What a commit does, for the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// Rows were added.
    Append,
    /// All rows were replaced.
    Overwrite,
    /// All rows were removed.
    Truncate,
    /// Rows were hidden, and others were added in their place.
    Upsert,
    /// Rows were hidden.
    Delete,
    /// Files were rewritten; the rows stayed.
    Compact,
    /// Inline rows moved to data files; the rows stayed.
    Flush,
    /// The table was restored or imported, with the state that it had elsewhere at this sequence.
    Restore,
    /// Damaged files were taken out of the table; their rows are lost.
    Repair,
}

impl Operation {
    const ALL: [Self; 9] = [
        Self::Append,
        Self::Overwrite,
        Self::Truncate,
        Self::Upsert,
        Self::Delete,
        Self::Compact,
        Self::Flush,
        Self::Restore,
        Self::Repair,
    ];

    /// Returns the word for it in the log.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Append => "append",
            Self::Overwrite => "overwrite",
            Self::Truncate => "truncate",
            Self::Upsert => "upsert",
            Self::Delete => "delete",
            Self::Compact => "compact",
            Self::Flush => "flush",
            Self::Restore => "restore",
            Self::Repair => "repair",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Operation {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|operation| operation.word() == text)
            .ok_or_else(|| Error::corrupt("unknown operation in the commit log").with("found", text))
    }
}

/// A condition that must still hold when a commit is applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Requirement {
    /// Nothing was committed since the writer read this snapshot. Used by every operation that depends on all rows.
    SnapshotIs(Sequence),
    /// These data files are still live. Used by rewrites, which may run concurrently with appends.
    FilesLive(Vec<FileId>),
}

impl Requirement {
    fn check(&self, base: &Snapshot) -> Result<()> {
        match self {
            Self::SnapshotIs(sequence) if *sequence == base.sequence() => Ok(()),
            Self::SnapshotIs(sequence) => Err(Error::conflict("the table has changed since the writer looked")
                .with("expected_sequence", sequence)
                .with("found_sequence", base.sequence())),
            Self::FilesLive(files) => match files.iter().find(|id| base.file(**id).is_none()) {
                None => Ok(()),
                Some(gone) => Err(Error::conflict("a data file is no longer live").with("file", gone)),
            },
        }
    }
}

/// A data file that a commit adds: its record, and its block checksums, which no snapshot contains.
#[derive(Clone, Debug, PartialEq)]
pub struct NewDataFile {
    /// The record.
    pub file: DataFile,
    /// The checksum of each block. They are stored apart and loaded on the first access to the file.
    pub blocks: BlockChecksums,
}

/// One change.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Change {
    /// A data file becomes part of the table.
    AddFile(Box<NewDataFile>),
    /// A data file, and what hides its rows, is removed from the table.
    RemoveFile(FileId),
    /// Rows of a live data file become hidden.
    AddDeletion(DeletionFile),
    /// A deletion file is removed from the table.
    RemoveDeletion(FileId),
    /// A deletion file replaces others: it hides exactly the rows that they hid together.
    FoldDeletions {
        /// The new deletion file.
        into: DeletionFile,
        /// The deletion files that it replaces, all of the same data file.
        of: Vec<FileId>,
    },
    /// Keys become hidden in the data files of all earlier commits.
    AddTombstones(TombstoneFile),
    /// A tombstone file is removed from the table.
    RemoveTombstones(FileId),
}

/// A position in a stream that feeds a table, such as a partition of a log or the changes of a database.
///
/// A table remembers the last position that it has committed of each stream. A commit with that position, or an earlier
/// one, changes nothing, so that the feeding process may repeat what it is not sure was applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourcePosition {
    /// The name of the stream.
    pub stream: String,
    /// The position; later ones are larger.
    pub position: u64,
}

/// Which snapshots expire, with a commit or on their own.
///
/// Expiry takes two steps. The first sets the earliest snapshot that is kept, so that no reader opens an earlier one. A
/// later step forgets the earlier snapshots, as far as no reader still reads them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// Snapshots before this one can no longer be opened. At most the latest sequence, including that of the same
    /// commit.
    pub keep_from: Sequence,
    /// What only snapshots before this one reference is forgotten. At most the `keep_from` of an earlier step.
    pub forget_before: Sequence,
}

/// One atomic change of one table: its requirements and its changes.
#[derive(Clone, Debug, PartialEq)]
pub struct TableCommit {
    /// Its id. Applying the same id twice has the effect of applying it once.
    pub id: CommitId,
    /// The table.
    pub table: TableId,
    /// The epoch of the writer. A commit of an earlier epoch is refused.
    pub epoch: WriterEpoch,
    /// What it does, for the log.
    pub operation: Operation,
    /// The wall-clock time at which it was made.
    pub made_at: Timestamp,
    /// The conditions that must still hold.
    pub requires: Vec<Requirement>,
    /// The changes, in order.
    pub changes: Vec<Change>,
    /// The source position of its rows, if the commit must take effect only once however often it is repeated.
    pub source: Option<SourcePosition>,
    /// The snapshots that it expires, if any.
    pub expiry: Option<Expiry>,
}

impl TableCommit {
    /// Returns the snapshot that follows `base`. `base` is not changed.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Conflict`](crate::ErrorKind::Conflict) if a requirement does not hold on `base`;
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) if a change contradicts `base`, such as a file added twice.
    pub fn apply(&self, base: &Snapshot) -> Result<Snapshot> {
        if self.table != base.table() {
            return Err(Error::internal("commit is applied to another table").with("table", self.table));
        }
        self.requires.iter().try_for_each(|requirement| requirement.check(base))?;
        let mut next = base.clone();
        next.sequence = base.sequence().next()?;
        self.changes.iter().try_for_each(|change| change.apply_to(&mut next))?;
        Ok(next)
    }

    /// Returns the log record of this commit, given its sequence.
    #[must_use]
    pub fn record(&self, sequence: Sequence) -> CommitRecord {
        let mut record = CommitRecord {
            id: self.id,
            sequence,
            operation: self.operation,
            made_at: self.made_at,
            files_added: 0,
            files_removed: 0,
            rows_added: 0,
            rows_hidden: 0,
        };
        for change in &self.changes {
            match change {
                Change::AddFile(new) => {
                    record.files_added += 1;
                    record.rows_added = record.rows_added.saturating_add(new.file.rows);
                }
                Change::RemoveFile(_) => record.files_removed += 1,
                Change::AddDeletion(deletion) => record.rows_hidden = record.rows_hidden.saturating_add(deletion.rows),
                _ => {}
            }
        }
        record
    }
}

impl Change {
    fn apply_to(&self, next: &mut Snapshot) -> Result<()> {
        let sequence = next.sequence();
        match self {
            Self::AddFile(new) => {
                absent(next.file(new.file.id).is_none(), new.file.id)?;
                next.insert_file(DataFile { added_at: sequence, ..new.file.clone() });
            }
            Self::RemoveFile(id) => present(next.remove_file(*id).is_some(), *id)?,
            Self::AddDeletion(deletion) => {
                add_deletion(next, deletion)?;
            }
            Self::FoldDeletions { into, of } => {
                of.iter().try_for_each(|id| present(next.remove_deletion(*id).is_some(), *id))?;
                add_deletion(next, into)?;
            }
            Self::RemoveDeletion(id) => present(next.remove_deletion(*id).is_some(), *id)?,
            Self::AddTombstones(file) => {
                absent(!next.tombstones.contains_key(&file.id), file.id)?;
                next.tombstones.insert(file.id, TombstoneFile { sequence, ..file.clone() }.into());
            }
            Self::RemoveTombstones(id) => present(next.tombstones.remove(id).is_some(), *id)?,
        }
        Ok(())
    }
}

fn add_deletion(next: &mut Snapshot, deletion: &DeletionFile) -> Result<()> {
    present(next.file(deletion.data_file).is_some(), deletion.data_file)?;
    absent(!next.deletions.contains_key(&deletion.id), deletion.id)?;
    next.insert_deletion(DeletionFile { sequence: next.sequence(), ..deletion.clone() });
    Ok(())
}

fn present(holds: bool, id: FileId) -> Result<()> {
    if holds {
        Ok(())
    } else {
        Err(Error::invalid("commit names a file that the table does not have").with("file", id))
    }
}

fn absent(holds: bool, id: FileId) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::invalid("commit adds a file that the table has already").with("file", id)) }
}

/// The log record of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitRecord {
    /// Its id.
    pub id: CommitId,
    /// The sequence it was given.
    pub sequence: Sequence,
    /// What it did.
    pub operation: Operation,
    /// The wall-clock time at which it was made.
    pub made_at: Timestamp,
    /// The number of data files it added.
    pub files_added: u64,
    /// The number of data files it removed.
    pub files_removed: u64,
    /// The number of rows in the data files it added.
    pub rows_added: u64,
    /// The number of rows it hid by position.
    pub rows_hidden: u64,
}
