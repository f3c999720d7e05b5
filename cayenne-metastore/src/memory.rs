//! The reference backend: maps, and [`TableCommit::apply`]. It keeps every snapshot; they share what they have in common.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use async_trait::async_trait;
use cayenne_format::{
    BlockChecksums, Change, CommitId, CommitRecord, Error, FileId, NoSteps, Result, Sequence, Snapshot, Step, Steps,
    TableCommit, TableId, WriterEpoch,
};
use parking_lot::Mutex;

use crate::metastore::{epoch_after, fenced, first_rows, no_commit, no_file, no_table};
use crate::{Metastore, NewTable, TableRecord, Writer};

/// A metastore that forgets everything when it is dropped.
///
/// # Examples
///
/// ```
/// use cayenne_metastore::{MemoryMetastore, Metastore};
///
/// let metastore = MemoryMetastore::default();
/// assert!(futures::executor::block_on(metastore.list_tables())?.is_empty());
/// # Ok::<(), cayenne_format::Error>(())
/// ```
#[derive(Debug)]
pub struct MemoryMetastore {
    steps: Arc<dyn Steps>,
    /// `None` once closed.
    tables: Mutex<Option<Tables>>,
}

type Tables = BTreeMap<TableId, TableHistory>;

#[derive(Debug)]
struct TableHistory {
    record: TableRecord,
    /// The empty table, and what each commit made of it; so the index of a snapshot is its sequence.
    snapshots: Vec<Snapshot>,
    log: Vec<CommitRecord>,
    sequences: HashMap<CommitId, Sequence>,
    /// A file that was removed and added again has the checksums of the last time.
    blocks: HashMap<FileId, BlockChecksums>,
}

/// A commit that was found to hold, before anything is changed.
struct Applied<'a> {
    commit: &'a TableCommit,
    next: Snapshot,
}

impl Default for MemoryMetastore {
    fn default() -> Self {
        Self::new(Arc::new(NoSteps))
    }
}

impl MemoryMetastore {
    /// Returns a metastore without tables that tells `steps` what it is about to do.
    #[must_use]
    pub fn new(steps: Arc<dyn Steps>) -> Self {
        Self { steps, tables: Mutex::new(Some(Tables::new())) }
    }

    fn read<T>(&self, work: impl FnOnce(&Tables) -> Result<T>) -> Result<T> {
        work(self.tables.lock().as_ref().ok_or_else(closed)?)
    }

    /// Runs `work`, which returns an error only before its first change.
    fn write<T>(&self, work: impl FnOnce(&mut Tables) -> Result<T>) -> Result<T> {
        let mut tables = self.tables.lock();
        let tables = tables.as_mut().ok_or_else(closed)?;
        self.steps.before(Step::BeginCommit)?;
        work(tables)
    }

    fn create(&self, tables: &mut Tables, new: &NewTable) -> Result<TableRecord> {
        if tables.contains_key(&new.id) {
            return Err(Error::already_exists("a table has this id already").with("table", new.id));
        }
        if tables.values().any(|table| table.record.name == new.name) {
            return Err(Error::already_exists("a table has this name already").with("table", &new.name));
        }
        let mut table = TableHistory::new(new);
        if let Some(first) = first_rows(new)? {
            let next = self.apply(first, &table.record, table.latest()?)?;
            table.push(Applied { commit: first, next });
        }
        self.steps.before(Step::EndCommit)?;
        let record = table.record.clone();
        tables.insert(new.id, table);
        Ok(record)
    }

    fn commit_all(&self, tables: &mut Tables, commits: &[TableCommit]) -> Result<Vec<Sequence>> {
        let mut sequences = Vec::with_capacity(commits.len());
        let mut applied: Vec<Applied<'_>> = Vec::new();
        for commit in commits {
            let table = tables.get(&commit.table).ok_or_else(|| no_table(commit.table))?;
            let earlier = || applied.iter().rev().filter(|earlier| earlier.commit.table == commit.table);
            let done = earlier().find(|earlier| earlier.commit.id == commit.id);
            let done = done.map(|earlier| earlier.next.sequence()).or(table.sequences.get(&commit.id).copied());
            if let Some(sequence) = done {
                sequences.push(sequence);
                continue;
            }
            let base = earlier().next().map_or_else(|| table.latest(), |earlier| Ok(&earlier.next))?;
            let next = self.apply(commit, &table.record, base)?;
            sequences.push(next.sequence());
            applied.push(Applied { commit, next });
        }
        self.steps.before(Step::EndCommit)?;
        for applied in applied {
            if let Some(table) = tables.get_mut(&applied.commit.table) {
                table.push(applied);
            }
        }
        Ok(sequences)
    }

    fn apply(&self, commit: &TableCommit, record: &TableRecord, base: &Snapshot) -> Result<Snapshot> {
        if commit.epoch != record.epoch {
            return Err(fenced(commit.table, commit.epoch, record.epoch, record.writer.as_ref()));
        }
        self.steps.before(Step::CheckRequirements)?;
        self.steps.before(Step::ApplyChanges)?;
        commit.apply(base)
    }
}

impl TableHistory {
    fn new(new: &NewTable) -> Self {
        let NewTable { id, name, location, schema, options, made_at, first: _ } = new.clone();
        let sequence = Sequence::ZERO;
        let epoch = WriterEpoch::NONE;
        let record = TableRecord { id, name, location, schema, options, made_at, sequence, epoch, writer: None };
        Self {
            record,
            snapshots: vec![Snapshot::empty(id)],
            log: Vec::new(),
            sequences: HashMap::new(),
            blocks: HashMap::new(),
        }
    }

    fn latest(&self) -> Result<&Snapshot> {
        self.snapshots.last().ok_or_else(|| Error::internal("a table has no snapshot"))
    }

    fn at(&self, sequence: Sequence) -> Result<&Snapshot> {
        let index = usize::try_from(sequence.number()).ok();
        let found = index.and_then(|index| self.snapshots.get(index));
        found.ok_or_else(|| no_commit(self.record.id, sequence, self.record.sequence))
    }

    fn push(&mut self, applied: Applied<'_>) {
        let Applied { commit, next } = applied;
        let sequence = next.sequence();
        for change in &commit.changes {
            if let Change::AddFile(new) = change
                && next.file(new.file.id).is_some_and(|file| file.added_at == sequence)
            {
                self.blocks.insert(new.file.id, new.blocks.clone());
            }
        }
        self.record.sequence = sequence;
        self.log.push(commit.record(sequence));
        self.sequences.insert(commit.id, sequence);
        self.snapshots.push(next);
    }
}

fn closed() -> Error {
    Error::unavailable("the metastore is closed").code("closed")
}

fn table_of(tables: &Tables, id: TableId) -> Result<&TableHistory> {
    tables.get(&id).ok_or_else(|| no_table(id))
}

#[async_trait]
impl Metastore for MemoryMetastore {
    async fn create_table(&self, table: &NewTable) -> Result<TableRecord> {
        self.write(|tables| self.create(tables, table))
    }

    async fn drop_table(&self, table: TableId, epoch: WriterEpoch) -> Result<()> {
        self.write(|tables| {
            let record = &table_of(tables, table)?.record;
            if record.epoch != epoch {
                return Err(fenced(table, epoch, record.epoch, record.writer.as_ref()));
            }
            self.steps.before(Step::DropTable)?;
            self.steps.before(Step::EndCommit)?;
            tables.remove(&table);
            Ok(())
        })
    }

    async fn list_tables(&self) -> Result<Vec<TableRecord>> {
        let mut records: Vec<_> =
            self.read(|tables| Ok(tables.values().map(|table| table.record.clone()).collect()))?;
        records.sort_by(|one: &TableRecord, other| one.name.cmp(&other.name));
        Ok(records)
    }

    async fn load_snapshot(&self, table: TableId, at: Option<Sequence>) -> Result<Snapshot> {
        self.read(|tables| {
            let table = table_of(tables, table)?;
            at.map_or_else(|| table.latest(), |sequence| table.at(sequence)).cloned()
        })
    }

    async fn load_blocks(&self, table: TableId, file: FileId) -> Result<BlockChecksums> {
        self.read(|tables| {
            let blocks = table_of(tables, table)?.blocks.get(&file);
            blocks.cloned().ok_or_else(|| no_file(table, file))
        })
    }

    async fn load_log(&self, table: TableId) -> Result<Vec<CommitRecord>> {
        self.read(|tables| Ok(table_of(tables, table)?.log.clone()))
    }

    async fn begin_writer(&self, table: TableId, writer: &Writer) -> Result<WriterEpoch> {
        self.write(|tables| {
            let record = &mut tables.get_mut(&table).ok_or_else(|| no_table(table))?.record;
            let epoch = epoch_after(record.epoch)?;
            self.steps.before(Step::EndCommit)?;
            record.epoch = epoch;
            record.writer = Some(writer.clone());
            Ok(epoch)
        })
    }

    async fn commit(&self, commits: &[TableCommit]) -> Result<Vec<Sequence>> {
        self.write(|tables| self.commit_all(tables, commits))
    }

    async fn close(&self) -> Result<()> {
        *self.tables.lock() = None;
        Ok(())
    }
}
