//! The changes of the metastore. Each runs inside a transaction that its caller begins and ends.
//!
//! A commit reads only the rows that it names: its cost depends on what it changes, not on the size of the table. It
//! accepts and refuses exactly what [`TableCommit::apply`] does; the conformance suite compares the two.

use cayenne_format::{
    Change, CommitId, DataFile, DeletionFile, Error, Expiry, FileId, NewDataFile, PartitionValue, Requirement, Result,
    Sequence, Step, Steps, TableCommit, TableId, TombstoneFile, WriterEpoch,
};

use super::history::Portion;
use super::log::{Entry, Head};
use super::row::{Stored, columns_of};
use super::tables::LatestWriter;
use super::{
    Connection, Row, Value, all, digest, first, history, load, log, sources, staged, statements, tables, values,
};
use crate::metastore::{epoch_after, fenced, require_own};
use crate::{Beginning, NewTable, Restored, TableRecord, Writer};

/// Creates a table with its initial content.
pub(crate) fn create_table(connection: &dyn Connection, steps: &dyn Steps, new: &NewTable) -> Result<TableRecord> {
    if let Some((replaced, epoch)) = new.replaces {
        drop_table(connection, steps, replaced, epoch)?;
    }
    tables::require_free(connection, new)?;
    tables::insert(connection, new)?;
    if let Some((_, epoch)) = new.replaces.filter(|(replaced, _)| *replaced == new.id) {
        // The same table continues, so fenced writers stay fenced.
        tables::set_writer(connection, new.id, &LatestWriter { epoch, writer: None })?;
    }
    match &new.begins {
        Beginning::Empty => {}
        Beginning::FirstRows(first) => {
            require_own(new, first)?;
            commit(connection, steps, first)?;
        }
        Beginning::Restored(restored) => restore(connection, steps, new.id, restored)?,
    }
    tables::one(connection, new.id)
}

/// Restores a new table to its state at a sequence.
fn restore(connection: &dyn Connection, steps: &dyn Steps, table: TableId, restored: &Restored) -> Result<()> {
    let state = &restored.state;
    state.check()?;
    let Some(record) = restored.record() else { return Ok(()) };
    steps.before(Step::ApplyChanges)?;
    let mut next = Next { connection, table, sequence: record.sequence, manifest: 0 };
    for new in &state.files {
        next.sequence = new.file.added_at;
        next.add_file(new)?;
    }
    for deletion in &state.deletions {
        next.sequence = deletion.sequence;
        next.add_deletion(deletion)?;
    }
    for file in &state.tombstones {
        next.sequence = file.sequence;
        next.add_tombstones(file)?;
    }
    let sequence = record.sequence;
    log::insert(connection, table, &Entry::new(table, record, next.manifest, 0))?;
    state.sources.iter().try_for_each(|source| sources::take(connection, table, source, sequence))?;
    history::begin(connection, table, sequence)
}

/// Removes a table and everything that belongs to it.
pub(crate) fn drop_table(
    connection: &dyn Connection,
    steps: &dyn Steps,
    table: TableId,
    epoch: WriterEpoch,
) -> Result<()> {
    require_writer(connection, table, epoch)?;
    steps.before(Step::DropTable)?;
    tables::delete(connection, table)
}

/// Raises the epoch by one.
pub(crate) fn begin_writer(connection: &dyn Connection, table: TableId, writer: &Writer) -> Result<WriterEpoch> {
    let epoch = epoch_after(tables::writer(connection, table)?.epoch)?;
    tables::set_writer(connection, table, &LatestWriter { epoch, writer: Some(writer.clone()) })?;
    Ok(epoch)
}

/// Applies one commit, or returns its sequence if it was applied before.
pub(crate) fn commit(connection: &dyn Connection, steps: &dyn Steps, commit: &TableCommit) -> Result<Sequence> {
    let latest = tables::writer(connection, commit.table)?;
    staged::delete(connection, commit.table, commit.id)?;
    if let Some(sequence) = log::sequence_of(connection, commit.table, commit.id)? {
        return Ok(sequence);
    }
    check_epoch(commit.table, commit.epoch, &latest)?;
    if let Some(source) = &commit.source
        && let Some(sequence) = sources::taken_by(connection, commit.table, source)?
    {
        return Ok(sequence);
    }
    let head = log::head(connection, commit.table)?;
    steps.before(Step::CheckRequirements)?;
    commit.requires.iter().try_for_each(|requirement| check(connection, commit.table, &head, requirement))?;
    steps.before(Step::ApplyChanges)?;
    let sequence = head.sequence.next()?;
    let mut next = Next { connection, table: commit.table, sequence, manifest: head.manifest };
    commit.changes.iter().try_for_each(|change| next.apply(change))?;
    let entry = Entry::new(commit.table, commit.record(sequence), next.manifest, head.chain);
    log::insert(connection, commit.table, &entry)?;
    if let Some(source) = &commit.source {
        sources::take(connection, commit.table, source, sequence)?;
    }
    if let Some(expiry) = &commit.expiry {
        history::give_up(connection, commit.table, sequence, expiry)?;
    }
    history::forget(connection, commit.table, portion_of(commit))?;
    Ok(sequence)
}

/// Returns how many forgotten rows a commit deletes: twice as many as it adds, so that their number shrinks however
/// long the table is written.
fn portion_of(commit: &TableCommit) -> Portion {
    let count = |counts: fn(&&Change) -> bool| (commit.changes.iter().filter(counts).count() as u64).saturating_mul(2);
    let hides = |change: &&Change| {
        matches!(change, Change::AddDeletion(_) | Change::AddTombstones(_) | Change::FoldDeletions { .. })
    };
    Portion {
        files: count(|change| matches!(change, Change::AddFile(_))).max(Portion::LEAST.files),
        hiding: count(hides).max(Portion::LEAST.hiding),
    }
}

/// Expires snapshots without a commit.
pub(crate) fn expire(connection: &dyn Connection, table: TableId, epoch: WriterEpoch, expiry: &Expiry) -> Result<()> {
    require_writer(connection, table, epoch)?;
    history::give_up(connection, table, log::head(connection, table)?.sequence, expiry)?;
    history::forget(connection, table, Portion::LEAST)
}

/// Stages a commit without applying it, unless it was applied before.
pub(crate) fn stage(connection: &dyn Connection, steps: &dyn Steps, commit: &TableCommit) -> Result<()> {
    require_writer(connection, commit.table, commit.epoch)?;
    if log::sequence_of(connection, commit.table, commit.id)?.is_some() {
        return Ok(());
    }
    steps.before(Step::StageCommit)?;
    staged::insert(connection, commit)
}

/// Discards a staged commit.
pub(crate) fn discard_staged(
    connection: &dyn Connection,
    table: TableId,
    epoch: WriterEpoch,
    commit: CommitId,
) -> Result<()> {
    require_writer(connection, table, epoch)?;
    staged::delete(connection, table, commit)
}

fn require_writer(connection: &dyn Connection, table: TableId, epoch: WriterEpoch) -> Result<()> {
    check_epoch(table, epoch, &tables::writer(connection, table)?)
}

fn check_epoch(table: TableId, epoch: WriterEpoch, latest: &LatestWriter) -> Result<()> {
    if epoch == latest.epoch { Ok(()) } else { Err(fenced(table, epoch, latest.epoch, latest.writer.as_ref())) }
}

fn check(connection: &dyn Connection, table: TableId, head: &Head, requirement: &Requirement) -> Result<()> {
    match requirement {
        Requirement::SnapshotIs(sequence) if *sequence == head.sequence => Ok(()),
        Requirement::SnapshotIs(sequence) => Err(Error::conflict("the table has changed since the writer looked")
            .with("expected_sequence", sequence)
            .with("found_sequence", head.sequence)),
        Requirement::FilesLive(files) => {
            for id in files {
                if live(connection, statements::LIVE_FILE, table, *id)?.is_none() {
                    return Err(Error::conflict("a data file is no longer live").with("file", id));
                }
            }
            Ok(())
        }
    }
}

/// A live row: its key, the commit that added it, and its digest.
#[derive(Clone, Copy)]
struct Live {
    key: i64,
    added_at: u64,
    digest: u128,
}

/// The snapshot that a commit builds, with the changes applied so far.
struct Next<'c> {
    connection: &'c dyn Connection,
    table: TableId,
    sequence: Sequence,
    manifest: u128,
}

impl Next<'_> {
    fn apply(&mut self, change: &Change) -> Result<()> {
        match change {
            Change::AddFile(new) => self.add_file(new),
            Change::RemoveFile(id) => self.remove_file(*id),
            Change::AddDeletion(deletion) => self.add_deletion(deletion),
            Change::RemoveDeletion(id) => {
                let live = self.present(statements::LIVE_DELETION, *id)?;
                self.end(live, statements::END_DELETION, statements::DELETE_DELETION)
            }
            Change::FoldDeletions { into, of } => {
                for id in of {
                    let live = self.present(statements::LIVE_DELETION, *id)?;
                    self.end(live, statements::END_DELETION, statements::DELETE_DELETION)?;
                }
                self.add_deletion(into)
            }
            Change::AddTombstones(file) => self.add_tombstones(file),
            Change::RemoveTombstones(id) => {
                let live = self.present(statements::LIVE_TOMBSTONES, *id)?;
                self.end(live, statements::END_TOMBSTONES, statements::DELETE_TOMBSTONES)
            }
            _ => Err(Error::unsupported("this metastore does not know the change")),
        }
    }

    fn add_file(&mut self, new: &NewDataFile) -> Result<()> {
        self.absent(statements::LIVE_FILE, new.file.id)?;
        let file = DataFile { added_at: self.sequence, ..new.file.clone() };
        let partition = PartitionValue::encode_all(&file.partition);
        let digest = digest::of_file(self.table, &file, &partition);
        let (path, inline) = columns_of(&file.location);
        self.execute(
            statements::INSERT_FILE,
            values![
                self.table.as_bytes(),
                file.id.as_bytes(),
                self.sequence.number(),
                file.rows,
                file.bytes,
                &file.hash.0.to_be_bytes(),
                &digest.to_be_bytes(),
                path,
                partition.as_ref(),
                file.stats.as_bytes().as_ref(),
            ],
        )?;
        self.manifest = self.manifest.wrapping_add(digest);
        let key = self.connection.last_key();
        if let Some(rows) = inline {
            self.execute(statements::INSERT_INLINE_ROWS, values![key, rows])?;
        }
        let checksums = new.blocks.encode();
        let digest = load::digest_of_blocks(self.table, file.id, &checksums);
        self.execute(statements::INSERT_BLOCKS, values![key, checksums.as_slice(), &digest.to_be_bytes()])
    }

    fn remove_file(&mut self, id: FileId) -> Result<()> {
        let file = self.present(statements::LIVE_FILE, id)?;
        for deletion in self.deletions_of(file)? {
            // A deletion ends with its data file and gets no end of its own: there may be many of them.
            self.manifest = self.manifest.wrapping_sub(deletion.digest);
            if deletion.added_at == self.sequence.number() {
                self.execute(statements::DELETE_DELETION, values![deletion.key])?;
            }
        }
        self.end(file, statements::END_FILE, statements::DELETE_FILE)
    }

    fn deletions_of(&self, file: Live) -> Result<Vec<Live>> {
        all(self.connection, statements::LIVE_DELETIONS_OF_FILE, values![file.key], decode_live)
    }

    fn add_deletion(&mut self, deletion: &DeletionFile) -> Result<()> {
        let file = self.present(statements::LIVE_FILE, deletion.data_file)?;
        self.absent(statements::LIVE_DELETION, deletion.id)?;
        let deletion = DeletionFile { sequence: self.sequence, ..deletion.clone() };
        let digest = digest::of_deletion(self.table, &deletion);
        let (path, inline) = columns_of(&deletion.location);
        self.execute(
            statements::INSERT_DELETION,
            values![
                self.table.as_bytes(),
                file.key,
                deletion.id.as_bytes(),
                self.sequence.number(),
                deletion.rows,
                &digest.to_be_bytes(),
                path,
                inline,
            ],
        )?;
        self.manifest = self.manifest.wrapping_add(digest);
        Ok(())
    }

    fn add_tombstones(&mut self, file: &TombstoneFile) -> Result<()> {
        self.absent(statements::LIVE_TOMBSTONES, file.id)?;
        let file = TombstoneFile { sequence: self.sequence, ..file.clone() };
        let digest = digest::of_tombstones(self.table, &file);
        let (path, inline) = columns_of(&file.location);
        self.execute(
            statements::INSERT_TOMBSTONES,
            values![
                self.table.as_bytes(),
                file.id.as_bytes(),
                self.sequence.number(),
                file.keys,
                &digest.to_be_bytes(),
                path,
                inline,
            ],
        )?;
        self.manifest = self.manifest.wrapping_add(digest);
        Ok(())
    }

    /// Ends a row with this commit. A row that this commit added was part of no snapshot and is deleted.
    fn end(&mut self, row: Live, end: &'static str, delete: &'static str) -> Result<()> {
        let sequence = self.sequence.number();
        if row.added_at == sequence {
            self.execute(delete, values![row.key])?;
        } else {
            self.execute(end, values![row.key, sequence])?;
        }
        self.manifest = self.manifest.wrapping_sub(row.digest);
        Ok(())
    }

    fn present(&self, sql: &'static str, id: FileId) -> Result<Live> {
        live(self.connection, sql, self.table, id)?
            .ok_or_else(|| Error::invalid("commit names a file that the table does not have").with("file", id))
    }

    fn absent(&self, sql: &'static str, id: FileId) -> Result<()> {
        match live(self.connection, sql, self.table, id)? {
            None => Ok(()),
            Some(_) => Err(Error::invalid("commit adds a file that the table has already").with("file", id)),
        }
    }

    fn execute(&self, sql: &'static str, values: &[Value<'_>]) -> Result<()> {
        self.connection.execute(sql, values)
    }
}

/// Returns the live row with this id, from the metastore table that `sql` names.
fn live(connection: &dyn Connection, sql: &'static str, table: TableId, id: FileId) -> Result<Option<Live>> {
    first(connection, sql, values![table.as_bytes(), id.as_bytes()], decode_live)
}

fn decode_live(row: &dyn Row) -> Result<Live> {
    let row = Stored::new("data_file, deletion, tombstone_file", row);
    Ok(Live { key: row.integer(0)?, added_at: row.count(1)?, digest: row.digest(2)? })
}
