//! The in-memory reference backend: maps, and [`TableCommit::apply`]. Snapshots share the entries they have in common.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use async_trait::async_trait;
use cayenne_format::{
    BlockChecksums, Change, CommitId, CommitRecord, Error, Expiry, FileId, NoSteps, Result, Sequence, Snapshot,
    SourcePosition, Step, Steps, TableCommit, TableId, TableName, WriterEpoch,
};
use parking_lot::Mutex;

use crate::metastore::{epoch_after, fenced, no_commit, no_file, no_table, require_own};
use crate::sql_view::{name_of_table, name_of_view};
use crate::{
    Beginning, CommitLog, History, Metastore, NewTable, Restored, SqlView, SqlViews, StagedCommit, TableKey,
    TableRecord, Writer,
};

/// A metastore that lives in memory and loses everything when it is dropped.
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
    /// Locked only while `tables` is locked.
    views: Mutex<BTreeMap<TableName, SqlView>>,
}

type Tables = BTreeMap<TableId, TableHistory>;

#[derive(Clone, Debug)]
struct TableHistory {
    record: TableRecord,
    /// The empty table and the snapshot of each commit, except those that are forgotten.
    snapshots: BTreeMap<Sequence, Snapshot>,
    log: Vec<CommitRecord>,
    /// The checksums by file. A file that was removed and added again has the checksums of its last addition.
    blocks: HashMap<FileId, BlockChecksums>,
    sources: BTreeMap<String, Taken>,
    staged: BTreeMap<CommitId, TableCommit>,
}

/// The last position that was taken in from a stream, and the sequence of the commit that did it.
#[derive(Clone, Copy, Debug)]
struct Taken {
    position: u64,
    sequence: Sequence,
}

impl Default for MemoryMetastore {
    fn default() -> Self {
        Self::new(Arc::new(NoSteps))
    }
}

impl MemoryMetastore {
    /// Returns a metastore without tables. It calls `steps` before each step of a change.
    #[must_use]
    pub fn new(steps: Arc<dyn Steps>) -> Self {
        Self { steps, tables: Mutex::new(Some(Tables::new())), views: Mutex::default() }
    }

    fn read<T>(&self, work: impl FnOnce(&Tables) -> Result<T>) -> Result<T> {
        work(self.tables.lock().as_ref().ok_or_else(closed)?)
    }

    /// Runs `work`. `work` must not return an error after its first change.
    fn write<T>(&self, work: impl FnOnce(&mut Tables) -> Result<T>) -> Result<T> {
        let mut tables = self.tables.lock();
        let tables = tables.as_mut().ok_or_else(closed)?;
        self.steps.before(Step::BeginCommit)?;
        work(tables)
    }

    fn create(&self, tables: &mut Tables, new: &NewTable) -> Result<TableRecord> {
        let replaced = new.replaces.map(|(replaced, _)| replaced);
        if let Some((replaced, epoch)) = new.replaces {
            table_of(tables, replaced)?.require_writer(epoch)?;
            self.steps.before(Step::DropTable)?;
        }
        let mut others = tables.values().map(|table| &table.record).filter(|record| Some(record.id) != replaced);
        if let Some(other) = others.find(|other| other.id == new.id || other.name == new.name) {
            let what = if other.id == new.id { "a table has this id already" } else { "a table has this name already" };
            return Err(Error::already_exists(what).with("table", &new.name));
        }
        if self.views.lock().contains_key(&new.name) {
            return Err(name_of_view(&new.name));
        }
        let mut table = TableHistory::new(new);
        match &new.begins {
            Beginning::Empty => {}
            Beginning::FirstRows(first) => {
                require_own(new, first)?;
                self.apply(&mut table, first)?;
            }
            Beginning::Restored(restored) => {
                restored.state.check()?;
                self.steps.before(Step::ApplyChanges)?;
                table.restore(restored);
            }
        }
        self.steps.before(Step::EndCommit)?;
        let record = table.record.clone();
        replaced.and_then(|replaced| tables.remove(&replaced));
        tables.insert(new.id, table);
        Ok(record)
    }

    fn commit_all(&self, tables: &mut Tables, commits: &[TableCommit]) -> Result<Vec<Sequence>> {
        // The commits are applied to copies. The copies replace the originals once no commit can be refused any more.
        let mut changed = Tables::new();
        let mut sequences = Vec::with_capacity(commits.len());
        for commit in commits {
            let table = match changed.entry(commit.table) {
                Entry::Occupied(entry) => entry.into_mut(),
                Entry::Vacant(entry) => entry.insert(table_of(tables, commit.table)?.clone()),
            };
            sequences.push(self.apply(table, commit)?);
        }
        self.steps.before(Step::EndCommit)?;
        tables.extend(changed);
        Ok(sequences)
    }

    fn apply(&self, table: &mut TableHistory, commit: &TableCommit) -> Result<Sequence> {
        table.staged.remove(&commit.id);
        if let Some(sequence) = table.sequence_of(commit.id) {
            return Ok(sequence);
        }
        table.require_writer(commit.epoch)?;
        if let Some(sequence) = table.taken_by(commit) {
            return Ok(sequence);
        }
        self.steps.before(Step::CheckRequirements)?;
        self.steps.before(Step::ApplyChanges)?;
        let next = commit.apply(table.latest()?)?;
        let history = match &commit.expiry {
            Some(expiry) => table.record.history.after(expiry, next.sequence())?,
            None => table.record.history,
        };
        let sequence = table.push(commit, next);
        table.keep(history);
        Ok(sequence)
    }
}

impl TableHistory {
    fn new(new: &NewTable) -> Self {
        let NewTable { id, name, location, schema, options, made_at, begins: _, replaces: _ } = new.clone();
        let sequence = Sequence::ZERO;
        // A table that replaces itself keeps its epoch, so that fenced writers stay fenced.
        let own = new.replaces.filter(|(replaced, _)| *replaced == new.id);
        let epoch = own.map_or(WriterEpoch::NONE, |(_, epoch)| epoch);
        let history = History::default();
        let record =
            TableRecord { id, name, location, schema, options, made_at, sequence, epoch, writer: None, history };
        Self {
            record,
            snapshots: BTreeMap::from([(sequence, Snapshot::empty(id))]),
            log: Vec::new(),
            blocks: HashMap::new(),
            sources: BTreeMap::new(),
            staged: BTreeMap::new(),
        }
    }

    fn require_writer(&self, epoch: WriterEpoch) -> Result<()> {
        let record = &self.record;
        if epoch == record.epoch {
            return Ok(());
        }
        Err(fenced(record.id, epoch, record.epoch, record.writer.as_ref()))
    }

    fn sequence_of(&self, commit: CommitId) -> Option<Sequence> {
        self.log.iter().find(|record| record.id == commit).map(|record| record.sequence)
    }

    fn taken_by(&self, commit: &TableCommit) -> Option<Sequence> {
        let source = commit.source.as_ref()?;
        let last = self.sources.get(&source.stream)?;
        (last.position >= source.position).then_some(last.sequence)
    }

    fn latest(&self) -> Result<&Snapshot> {
        let latest = self.snapshots.last_key_value();
        latest.map(|(_, snapshot)| snapshot).ok_or_else(|| Error::internal("a table has no snapshot"))
    }

    fn at(&self, sequence: Sequence) -> Result<Snapshot> {
        let TableRecord { id, history: History { kept_from, .. }, sequence: latest, .. } = self.record;
        if sequence == Sequence::ZERO {
            return Ok(Snapshot::empty(id));
        }
        let found = self.snapshots.get(&sequence).filter(|_| sequence >= kept_from);
        found.cloned().ok_or_else(|| no_commit(id, sequence, kept_from, latest))
    }

    fn push(&mut self, commit: &TableCommit, next: Snapshot) -> Sequence {
        let sequence = next.sequence();
        for change in &commit.changes {
            if let Change::AddFile(new) = change
                && next.file(new.file.id).is_some_and(|file| file.added_at == sequence)
            {
                self.blocks.insert(new.file.id, new.blocks.clone());
            }
        }
        if let Some(SourcePosition { stream, position }) = commit.source.clone() {
            self.sources.insert(stream, Taken { position, sequence });
        }
        self.record.sequence = sequence;
        self.log.push(commit.record(sequence));
        self.snapshots.insert(sequence, next);
        sequence
    }

    fn restore(&mut self, restored: &Restored) {
        let Some(record) = restored.record() else { return };
        let (state, sequence) = (&restored.state, record.sequence);
        self.snapshots = BTreeMap::from([(sequence, state.snapshot(self.record.id))]);
        self.blocks = state.files.iter().map(|new| (new.file.id, new.blocks.clone())).collect();
        for SourcePosition { stream, position } in state.sources.clone() {
            self.sources.insert(stream, Taken { position, sequence });
        }
        self.log = vec![record];
        self.record.sequence = sequence;
        self.record.history = History { kept_from: sequence, known_from: sequence };
    }

    fn keep(&mut self, history: History) {
        self.record.history = history;
        self.snapshots = self.snapshots.split_off(&history.known_from);
        self.log.retain(|record| record.sequence >= history.known_from);
        let snapshots = &self.snapshots;
        self.blocks.retain(|file, _| snapshots.values().any(|snapshot| snapshot.file(*file).is_some()));
    }
}

fn closed() -> Error {
    Error::unavailable("the metastore is closed").code("closed")
}

fn table_of(tables: &Tables, id: TableId) -> Result<&TableHistory> {
    tables.get(&id).ok_or_else(|| no_table(id))
}

#[async_trait]
impl CommitLog for MemoryMetastore {
    async fn load_log(&self, table: TableId) -> Result<Vec<CommitRecord>> {
        self.read(|tables| {
            let table = table_of(tables, table)?;
            let kept = |record: &&CommitRecord| record.sequence >= table.record.history.kept_from;
            Ok(table.log.iter().filter(kept).cloned().collect())
        })
    }

    async fn load_sources(&self, table: TableId) -> Result<Vec<SourcePosition>> {
        self.read(|tables| {
            let sources = table_of(tables, table)?.sources.iter();
            Ok(sources
                .map(|(stream, taken)| SourcePosition { stream: stream.clone(), position: taken.position })
                .collect())
        })
    }

    async fn expire(&self, table: TableId, epoch: WriterEpoch, expiry: &Expiry) -> Result<()> {
        self.write(|tables| {
            let table = tables.get_mut(&table).ok_or_else(|| no_table(table))?;
            table.require_writer(epoch)?;
            let history = table.record.history.after(expiry, table.record.sequence)?;
            self.steps.before(Step::EndCommit)?;
            table.keep(history);
            Ok(())
        })
    }

    async fn stage(&self, commit: &TableCommit) -> Result<()> {
        self.write(|tables| {
            let table = tables.get_mut(&commit.table).ok_or_else(|| no_table(commit.table))?;
            table.require_writer(commit.epoch)?;
            if table.sequence_of(commit.id).is_some() {
                return Ok(());
            }
            self.steps.before(Step::StageCommit)?;
            self.steps.before(Step::EndCommit)?;
            table.staged.entry(commit.id).or_insert_with(|| commit.clone());
            Ok(())
        })
    }

    async fn load_staged(&self, table: TableId) -> Result<Vec<StagedCommit>> {
        self.read(|tables| {
            let staged = table_of(tables, table)?.staged.values().cloned();
            Ok(staged.map(|commit| StagedCommit { id: commit.id, commit: Ok(commit) }).collect())
        })
    }

    async fn knows_deletion(&self, table: TableId, file: FileId) -> Result<bool> {
        self.read(|tables| {
            let known = |snapshot: &Snapshot| {
                snapshot.deletion(file).is_some() || snapshot.tombstones().any(|tombstones| tombstones.id == file)
            };
            Ok(table_of(tables, table)?.snapshots.values().any(known))
        })
    }

    async fn make_durable(&self) -> Result<()> {
        self.read(|_| Ok(()))
    }

    async fn discard_staged(&self, table: TableId, epoch: WriterEpoch, commit: CommitId) -> Result<()> {
        self.write(|tables| {
            let table = tables.get_mut(&table).ok_or_else(|| no_table(table))?;
            table.require_writer(epoch)?;
            self.steps.before(Step::EndCommit)?;
            table.staged.remove(&commit);
            Ok(())
        })
    }
}

#[async_trait]
impl SqlViews for MemoryMetastore {
    async fn create_view(&self, view: &SqlView, replace: bool) -> Result<()> {
        self.write(|tables| {
            if tables.values().any(|table| table.record.name == view.name) {
                return Err(name_of_table(&view.name));
            }
            let mut views = self.views.lock();
            if !replace && views.contains_key(&view.name) {
                return Err(name_of_view(&view.name));
            }
            self.steps.before(Step::EndCommit)?;
            views.insert(view.name.clone(), view.clone());
            Ok(())
        })
    }

    async fn drop_view(&self, name: &TableName) -> Result<bool> {
        self.write(|_| {
            self.steps.before(Step::EndCommit)?;
            Ok(self.views.lock().remove(name).is_some())
        })
    }

    async fn find_view(&self, name: &TableName) -> Result<Option<SqlView>> {
        self.read(|_| Ok(self.views.lock().get(name).cloned()))
    }

    async fn list_views(&self) -> Result<Vec<SqlView>> {
        self.read(|_| Ok(self.views.lock().values().cloned().collect()))
    }
}

#[async_trait]
impl Metastore for MemoryMetastore {
    async fn create_table(&self, table: &NewTable) -> Result<TableRecord> {
        self.write(|tables| self.create(tables, table))
    }

    async fn drop_table(&self, table: TableId, epoch: WriterEpoch) -> Result<()> {
        self.write(|tables| {
            table_of(tables, table)?.require_writer(epoch)?;
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

    async fn find_table(&self, key: &TableKey) -> Result<Option<TableRecord>> {
        let is_it = |record: &TableRecord| match key {
            TableKey::Id(id) => record.id == *id,
            TableKey::Name(name) => record.name == *name,
        };
        self.read(|tables| Ok(tables.values().map(|table| &table.record).find(|record| is_it(record)).cloned()))
    }

    async fn load_snapshot(&self, table: TableId, at: Option<Sequence>) -> Result<Snapshot> {
        self.read(|tables| {
            let table = table_of(tables, table)?;
            at.map_or_else(|| table.latest().cloned(), |sequence| table.at(sequence))
        })
    }

    async fn load_blocks(&self, table: TableId, file: FileId) -> Result<BlockChecksums> {
        self.read(|tables| {
            let blocks = table_of(tables, table)?.blocks.get(&file);
            blocks.cloned().ok_or_else(|| no_file(table, file))
        })
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
