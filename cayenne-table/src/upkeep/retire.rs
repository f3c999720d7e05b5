//! Files that a commit has put others in the place of, or taken away. They go as soon as no snapshot that is kept names
//! them, nor the last manifest, and nobody has to look through a folder for that: who took them away knows their names.

use crate::state::retired::RetiredFile;
use std::collections::HashSet;
use std::sync::Arc;

use cayenne_format::{Change, Location, Operation, Result, Sequence, TableCommit};

use crate::state::counters::Upkeep;
use crate::view::current::object_name;
use crate::{Table, View};

impl Table {
    /// Notes what a commit takes away. Where the table does not look after itself, others than passes leave it to `collect`;
    /// and what a repair takes out of a table is for somebody to look at.
    pub(crate) fn retire(&self, base: &View, commit: &TableCommit) {
        let is_noted = match commit.operation {
            Operation::Compact => true,
            Operation::Repair => false,
            _ => self.shared.maintenance.is_on(),
        };
        if !is_noted {
            return;
        }
        let Ok(sequence) = base.sequence().next() else { return };
        let mut files = Vec::new();
        commit.changes.iter().for_each(|change| gone(base, sequence, change, &mut files));
        if !files.is_empty() {
            let mut retired = self.retired.lock();
            retired.files.append(&mut files);
            retired.has_new = true;
        }
    }

    /// As [`remove_retired`](Self::remove_retired), where nothing depends on it.
    pub(crate) async fn remove_retired_or_warn(self: &Arc<Self>) {
        if let Err(error) = self.remove_retired().await {
            tracing::warn!(%error, table = %self.name(), "files that nobody needs were not removed");
        }
    }

    /// Gives up earlier snapshots, as the options of the table say, and removes what was retired and is named by none any
    /// more. What is still read, or is kept for its history, stays for the next time. What a process leaves, `collect`
    /// finds.
    async fn remove_retired(self: &Arc<Self>) -> Result<()> {
        {
            let mut retired = self.retired.lock();
            // If this fails, it is tried again when it is time to, and not by the next write.
            retired.has_new = false;
            if retired.is_empty() || !self.is_writer() {
                return Ok(());
            }
        }
        // While somebody writes files, nobody drops the table: a file that the metastore does not know is nobody's then,
        // and not one whose table has just gone.
        let _is_there = Arc::clone(&self.unnamed_files).read_owned().await;
        let expired = self.expire(self.options().retention).await;
        self.counters.note_upkeep(Upkeep::Expire, &expired);
        let mut files = self.retired.lock().take_before(expired?.known_from);
        if files.is_empty() {
            return Ok(());
        }
        let removed = self.remove_nobodys(&mut files).await;
        self.counters.note_upkeep(Upkeep::Collect, &removed);
        self.retired.lock().files.append(&mut files);
        removed
    }

    /// Removes those of the files that nothing names, and leaves the others.
    async fn remove_nobodys(self: &Arc<Self>, files: &mut Vec<RetiredFile>) -> Result<()> {
        let told = self.told_names().await?;
        let mut nobodys = Vec::new();
        for file in files.iter().filter(|file| !told.contains(&file.name)) {
            if self.shared.maintenance.is_closing() {
                return Ok(());
            }
            // What cannot be asked about stays.
            if !self.is_kept(&file.name).await? {
                nobodys.push(file.name.clone());
            }
        }
        // What has made them nobody's must not be taken back by a power cut.
        self.shared.metastore.make_durable().await?;
        let removed = self.shared.storage.remove_files(&self.record.location, &nobodys).await?;
        let (gone, kept): (Vec<_>, Vec<_>) =
            std::mem::take(files).into_iter().partition(|file| nobodys.contains(&file.name));
        *files = kept;
        self.counters.note_reclaimed(removed, gone.iter().map(|file| file.bytes).sum());
        Ok(())
    }

    /// Writes a manifest that tells what the table is, unless there is one, and returns the names that the last one has:
    /// what it names is what a lost metastore is made anew from, so that nobody may remove it.
    async fn told_names(self: &Arc<Self>) -> Result<HashSet<String>> {
        self.write_manifest().await?;
        let told = self.manifested.lock().clone();
        Ok(told.map(|told| self.names_of(&told.view)).unwrap_or_default())
    }
}

/// Adds what a change takes away and is a file.
fn gone(base: &View, sequence: Sequence, change: &Change, files: &mut Vec<RetiredFile>) {
    let snapshot = base.snapshot();
    let mut add = |location: &Location| {
        if let Location::Path(name) = location {
            files.push(RetiredFile { name: name.clone(), sequence, bytes: 0 });
        }
    };
    match change {
        Change::RemoveFile(id) => {
            snapshot.deletions_of(*id).for_each(|deletion| add(&deletion.location));
            if let Some(file) = snapshot.file(*id)
                && let Some(name) = object_name(file)
            {
                // Its key index goes with it.
                files.push(RetiredFile { name: name.to_owned(), sequence, bytes: file.bytes });
            }
        }
        Change::FoldDeletions { of, .. } => {
            of.iter().filter_map(|id| snapshot.deletion(*id)).for_each(|deletion| add(&deletion.location));
        }
        Change::RemoveDeletion(id) => {
            snapshot.deletion(*id).iter().for_each(|deletion| add(&deletion.location));
        }
        Change::RemoveTombstones(id) => {
            snapshot.tombstones().filter(|file| file.id == *id).for_each(|file| add(&file.location));
        }
        // The others add something.
        _ => {}
    }
}
