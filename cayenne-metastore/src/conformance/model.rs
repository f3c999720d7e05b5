//! The model of a metastore, as simple as possible: lists, and [`TableCommit::apply`].

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cayenne_format::{
    BlockChecksums, Change, CommitId, CommitRecord, DataFile, Error, Expiry, FileId, NewDataFile, Result, Sequence,
    Snapshot, SourcePosition, TableCommit, TableId, TableName, TableState, WriterEpoch,
};

use crate::{Beginning, History, NewTable, Restored, SqlView};

#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) tables: BTreeMap<TableId, ModelTable>,
    pub(super) views: BTreeMap<TableName, SqlView>,
    /// Tables that were dropped; histories ask for them too.
    pub(super) dropped: Vec<TableId>,
}

#[derive(Clone, Debug)]
pub(super) struct ModelTable {
    pub(super) name: TableName,
    pub(super) epoch: WriterEpoch,
    /// The empty table, and the snapshot of each commit.
    pub(super) snapshots: Vec<Snapshot>,
    pub(super) log: Vec<CommitRecord>,
    /// Every file that a commit added, with its latest checksums if a snapshot has it.
    pub(super) files: BTreeMap<FileId, Option<BlockChecksums>>,
    /// Every deletion and tombstone file that a commit added.
    pub(super) deletions: BTreeSet<FileId>,
    /// The earliest snapshot that can be opened, and the earliest that is not forgotten.
    pub(super) history: History,
    /// The last position of each stream, and the sequence of the commit that took it in.
    pub(super) sources: BTreeMap<String, (u64, Sequence)>,
    pub(super) staged: BTreeMap<CommitId, TableCommit>,
}

impl ModelTable {
    pub(super) fn latest(&self) -> &Snapshot {
        self.snapshots.last().expect("there is always the empty snapshot")
    }

    pub(super) fn sequence_of(&self, commit: CommitId) -> Option<Sequence> {
        self.log.iter().find(|record| record.id == commit).map(|record| record.sequence)
    }

    pub(super) fn require_writer(&self, epoch: WriterEpoch) -> Result<()> {
        if epoch == self.epoch { Ok(()) } else { Err(Error::conflict("fenced").code("fenced")) }
    }

    fn apply(&mut self, commit: &TableCommit) -> Result<Sequence> {
        self.staged.remove(&commit.id);
        if let Some(sequence) = self.sequence_of(commit.id) {
            return Ok(sequence);
        }
        self.require_writer(commit.epoch)?;
        if let Some(source) = &commit.source
            && let Some((position, sequence)) = self.sources.get(&source.stream)
            && *position >= source.position
        {
            return Ok(*sequence);
        }
        let next = commit.apply(self.latest())?;
        let sequence = next.sequence();
        if commit.expiry.is_some_and(|expiry| !self.may_expire(&expiry, sequence)) {
            return Err(Error::invalid("expiry"));
        }
        self.log.push(commit.record(sequence));
        self.snapshots.push(next);
        self.remember_files(commit, sequence);
        if let Some(source) = &commit.source {
            self.sources.insert(source.stream.clone(), (source.position, sequence));
        }
        if let Some(expiry) = &commit.expiry {
            self.give_up(expiry);
        }
        Ok(sequence)
    }

    fn may_expire(&self, expiry: &Expiry, latest: Sequence) -> bool {
        expiry.keep_from <= latest && expiry.forget_before <= self.history.kept_from
    }

    pub(super) fn expire(&mut self, epoch: WriterEpoch, expiry: &Expiry) -> Result<()> {
        self.require_writer(epoch)?;
        if !self.may_expire(expiry, self.latest().sequence()) {
            return Err(Error::invalid("expiry"));
        }
        self.give_up(expiry);
        Ok(())
    }

    fn give_up(&mut self, expiry: &Expiry) {
        self.history.kept_from = self.history.kept_from.max(expiry.keep_from);
        self.history.known_from = self.history.known_from.max(expiry.forget_before);
        let before = self.history.known_from;
        self.snapshots.retain(|snapshot| snapshot.sequence() >= before);
        self.log.retain(|record| record.sequence >= before);
        for (file, blocks) in &mut self.files {
            if !self.snapshots.iter().any(|snapshot| snapshot.file(*file).is_some()) {
                *blocks = None;
            }
        }
    }

    /// Returns the state of the table, to restore it in another metastore.
    pub(super) fn state(&self) -> TableState {
        let latest = self.latest();
        let blocks = |id| self.files.get(&id).cloned().flatten().expect("live files have checksums");
        let new = |file: &Arc<DataFile>| NewDataFile { blocks: blocks(file.id), file: file.as_ref().clone() };
        let source = |(stream, (position, _)): (&String, &(u64, Sequence))| SourcePosition {
            stream: stream.clone(),
            position: *position,
        };
        TableState {
            sequence: latest.sequence(),
            files: latest.files().map(new).collect(),
            deletions: latest.deletions().map(|deletion| deletion.as_ref().clone()).collect(),
            tombstones: latest.tombstones().map(|file| file.as_ref().clone()).collect(),
            sources: self.sources.iter().map(source).collect(),
        }
    }

    fn restore(&mut self, restored: &Restored) -> Result<()> {
        let state = &restored.state;
        state.check()?;
        let Some(record) = restored.record() else { return Ok(()) };
        let sequence = state.sequence;
        self.snapshots = vec![state.snapshot(self.latest().table())];
        self.log = vec![record];
        self.files = state.files.iter().map(|new| (new.file.id, Some(new.blocks.clone()))).collect();
        self.history = History { kept_from: sequence, known_from: sequence };
        let taken = state.sources.iter().map(|source| (source.stream.clone(), (source.position, sequence)));
        self.sources = taken.collect();
        Ok(())
    }

    /// Returns the expected log: the commits of the snapshots that can be opened.
    pub(super) fn kept_log(&self) -> Vec<CommitRecord> {
        self.log.iter().filter(|record| record.sequence >= self.history.kept_from).cloned().collect()
    }

    pub(super) fn at(&self, sequence: Sequence) -> Result<Snapshot> {
        if sequence == Sequence::ZERO {
            return Ok(Snapshot::empty(self.latest().table()));
        }
        let found = self.snapshots.iter().find(|snapshot| snapshot.sequence() == sequence);
        found.filter(|_| sequence >= self.history.kept_from).cloned().ok_or_else(|| Error::not_found("snapshot"))
    }

    fn remember_files(&mut self, commit: &TableCommit, sequence: Sequence) {
        let Some(after) = self.snapshots.iter().find(|snapshot| snapshot.sequence() == sequence) else {
            return;
        };
        for change in &commit.changes {
            match change {
                Change::AddDeletion(deletion) | Change::FoldDeletions { into: deletion, .. } => {
                    self.deletions.insert(deletion.id);
                }
                Change::AddTombstones(file) => drop(self.deletions.insert(file.id)),
                _ => {}
            }
            let Change::AddFile(new) = change else { continue };
            let known = self.files.entry(new.file.id).or_default();
            if after.file(new.file.id).is_some_and(|file| file.added_at == sequence) {
                *known = Some(new.blocks.clone());
            }
        }
    }
}

impl Model {
    pub(super) fn create_view(&mut self, view: &SqlView, replace: bool) -> Result<()> {
        let is_taken = self.tables.values().any(|table| table.name == view.name);
        if is_taken || (!replace && self.views.contains_key(&view.name)) {
            return Err(Error::already_exists("view"));
        }
        self.views.insert(view.name.clone(), view.clone());
        Ok(())
    }

    pub(super) fn create(&mut self, new: &NewTable) -> Result<()> {
        let before = self.tables.clone();
        let created = self.create_in_place(new);
        match (&created, new.replaces) {
            (Ok(()), Some((replaced, _))) => self.dropped.push(replaced),
            (Ok(()), None) => {}
            (Err(_), _) => self.tables = before,
        }
        created
    }

    fn create_in_place(&mut self, new: &NewTable) -> Result<()> {
        if let Some((replaced, epoch)) = new.replaces {
            self.table(replaced)?.require_writer(epoch)?;
            self.tables.remove(&replaced);
        }
        if self.tables.contains_key(&new.id) || self.tables.values().any(|table| table.name == new.name) {
            return Err(Error::already_exists("table"));
        }
        if self.views.contains_key(&new.name) {
            return Err(Error::already_exists("view"));
        }
        let mut table = ModelTable {
            name: new.name.clone(),
            epoch: new.replaces.filter(|(id, _)| *id == new.id).map_or(WriterEpoch::NONE, |(_, epoch)| epoch),
            snapshots: vec![Snapshot::empty(new.id)],
            log: Vec::new(),
            files: BTreeMap::new(),
            deletions: BTreeSet::new(),
            history: History::default(),
            sources: BTreeMap::new(),
            staged: BTreeMap::new(),
        };
        match &new.begins {
            Beginning::Empty => {}
            Beginning::FirstRows(first) => drop(table.apply(first)?),
            Beginning::Restored(restored) => table.restore(restored)?,
        }
        self.tables.insert(new.id, table);
        Ok(())
    }

    pub(super) fn drop(&mut self, table: TableId, epoch: WriterEpoch) -> Result<()> {
        let found = self.tables.get(&table).ok_or_else(|| Error::not_found("table"))?;
        found.require_writer(epoch)?;
        self.tables.remove(&table);
        self.dropped.push(table);
        Ok(())
    }

    /// Applies the commits in place. If one is refused, none is applied.
    pub(super) fn commit(&mut self, commits: &[TableCommit]) -> Result<Vec<Sequence>> {
        let before = self.tables.clone();
        let applied: Result<Vec<_>> = commits.iter().map(|commit| self.table(commit.table)?.apply(commit)).collect();
        if applied.is_err() {
            self.tables = before;
        }
        applied
    }

    pub(super) fn stage(&mut self, commit: &TableCommit) -> Result<()> {
        let table = self.table(commit.table)?;
        table.require_writer(commit.epoch)?;
        if table.sequence_of(commit.id).is_none() {
            table.staged.entry(commit.id).or_insert_with(|| commit.clone());
        }
        Ok(())
    }

    pub(super) fn discard_staged(&mut self, table: TableId, epoch: WriterEpoch, commit: CommitId) -> Result<()> {
        let table = self.table(table)?;
        table.require_writer(epoch)?;
        table.staged.remove(&commit);
        Ok(())
    }

    pub(super) fn table(&mut self, id: TableId) -> Result<&mut ModelTable> {
        self.tables.get_mut(&id).ok_or_else(|| Error::not_found("table"))
    }
}
