//! What a metastore should remember, in the plainest way: lists, and [`TableCommit::apply`].

use std::collections::BTreeMap;

use cayenne_format::{
    BlockChecksums, Change, CommitId, CommitRecord, Error, FileId, Result, Sequence, Snapshot, TableCommit, TableId,
    TableName, WriterEpoch,
};

use crate::NewTable;

#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) tables: BTreeMap<TableId, ModelTable>,
    /// Tables that are no longer there, to ask for.
    pub(super) dropped: Vec<TableId>,
}

#[derive(Debug)]
pub(super) struct ModelTable {
    pub(super) name: TableName,
    pub(super) epoch: WriterEpoch,
    /// The empty table, and what each commit made of it.
    pub(super) snapshots: Vec<Snapshot>,
    pub(super) log: Vec<CommitRecord>,
    /// Every file that a commit added, with its latest checksums if a snapshot has it.
    pub(super) files: BTreeMap<FileId, Option<BlockChecksums>>,
}

impl ModelTable {
    pub(super) fn latest(&self) -> &Snapshot {
        self.snapshots.last().expect("there is always the empty snapshot")
    }

    pub(super) fn sequence_of(&self, commit: CommitId) -> Option<Sequence> {
        self.log.iter().find(|record| record.id == commit).map(|record| record.sequence)
    }

    /// Returns the sequence, and whether it is a new one.
    fn apply(&mut self, commit: &TableCommit) -> Result<(Sequence, bool)> {
        if let Some(sequence) = self.sequence_of(commit.id) {
            return Ok((sequence, false));
        }
        if commit.epoch != self.epoch {
            return Err(Error::conflict("fenced").code("fenced"));
        }
        let next = commit.apply(self.latest())?;
        let sequence = next.sequence();
        self.log.push(commit.record(sequence));
        self.snapshots.push(next);
        Ok((sequence, true))
    }

    fn remember_files(&mut self, commit: &TableCommit, sequence: Sequence) {
        let Some(after) = self.snapshots.iter().find(|snapshot| snapshot.sequence() == sequence) else {
            return;
        };
        for change in &commit.changes {
            let Change::AddFile(new) = change else { continue };
            let known = self.files.entry(new.file.id).or_default();
            if after.file(new.file.id).is_some_and(|file| file.added_at == sequence) {
                *known = Some(new.blocks.clone());
            }
        }
    }
}

impl Model {
    pub(super) fn create(&mut self, new: &NewTable) -> Result<()> {
        if self.tables.contains_key(&new.id) || self.tables.values().any(|table| table.name == new.name) {
            return Err(Error::already_exists("table"));
        }
        let table = ModelTable {
            name: new.name.clone(),
            epoch: WriterEpoch::NONE,
            snapshots: vec![Snapshot::empty(new.id)],
            log: Vec::new(),
            files: BTreeMap::new(),
        };
        self.tables.insert(new.id, table);
        let first = self.commit(new.first.as_slice());
        if first.is_err() {
            self.tables.remove(&new.id);
        }
        first.map(|_| ())
    }

    pub(super) fn drop(&mut self, table: TableId, epoch: WriterEpoch) -> Result<()> {
        let found = self.tables.get(&table).ok_or_else(|| Error::not_found("table"))?;
        if found.epoch != epoch {
            return Err(Error::conflict("fenced").code("fenced"));
        }
        self.tables.remove(&table);
        self.dropped.push(table);
        Ok(())
    }

    /// Applies the commits in place, and takes all of them back if one is refused.
    pub(super) fn commit(&mut self, commits: &[TableCommit]) -> Result<Vec<Sequence>> {
        let lengths: Vec<_> = self.tables.iter().map(|(id, table)| (*id, table.log.len())).collect();
        let applied: Result<Vec<_>> = commits.iter().map(|commit| self.table(commit.table)?.apply(commit)).collect();
        match &applied {
            Ok(sequences) => {
                for (commit, (sequence, _)) in commits.iter().zip(sequences).filter(|(_, (_, is_new))| *is_new) {
                    self.table(commit.table)?.remember_files(commit, *sequence);
                }
            }
            Err(_) => {
                for (id, length) in lengths {
                    let table = self.table(id)?;
                    table.log.truncate(length);
                    table.snapshots.truncate(length + 1);
                }
            }
        }
        Ok(applied?.into_iter().map(|(sequence, _)| sequence).collect())
    }

    pub(super) fn table(&mut self, id: TableId) -> Result<&mut ModelTable> {
        self.tables.get_mut(&id).ok_or_else(|| Error::not_found("table"))
    }
}
