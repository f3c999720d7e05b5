//! Retired files: files that a commit has replaced or removed. They are deleted as soon as neither a snapshot that is
//! kept nor the last manifest names them. The process that has committed knows their names, so no folder is listed for
//! that.

use crate::state::retired::RetiredFile;
use std::collections::HashSet;
use std::sync::Arc;

use cayenne_format::{Change, Location, Operation, Result, Sequence, TableCommit};

use crate::state::counters::Upkeep;
use crate::view::current::object_name;
use crate::{Table, View};

impl Table {
    /// Notes the files that a commit removes. If background upkeep is off, only those of compaction passes are noted;
    /// the others are left to `collect`. Files that a repair takes out of a table are never noted, so that they can be
    /// examined.
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

    /// As [`remove_retired`](Self::remove_retired), but only logs an error: nothing depends on it.
    pub(crate) async fn remove_retired_or_warn(self: &Arc<Self>) {
        if let Err(error) = self.remove_retired().await {
            tracing::warn!(%error, table = %self.name(), "files that nobody needs were not removed");
        }
    }

    /// Expires snapshots as the options of the table say, and removes the retired files that no snapshot names any
    /// more. Files that are still read, or kept for the history, stay for the next time. If the process ends before
    /// they are removed, `collect` finds them.
    async fn remove_retired(self: &Arc<Self>) -> Result<()> {
        {
            let mut retired = self.retired.lock();
            // If this fails, it is tried again after the interval, and not by the next write.
            retired.has_new = false;
            if retired.is_empty() || !self.is_writer() {
                return Ok(());
            }
        }
        // Held shared, as by a write, so that the table is not dropped meanwhile: a file that the metastore does not
        // know is then an orphan, and not a file of a table that was just dropped.
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

    /// Removes the files that nothing names, and leaves the others in `files`.
    async fn remove_nobodys(self: &Arc<Self>, files: &mut Vec<RetiredFile>) -> Result<()> {
        let told = self.told_names().await?;
        let mut nobodys = Vec::new();
        for file in files.iter().filter(|file| !told.contains(&file.name)) {
            if self.shared.maintenance.is_closing() {
                return Ok(());
            }
            // If the metastore cannot be asked about a file, the file stays.
            if !self.is_kept(&file.name).await? {
                nobodys.push(file.name.clone());
            }
        }
        // The commits that made the files orphans must survive a power failure.
        self.shared.metastore.make_durable().await?;
        let removed = self.shared.storage.remove_files(&self.record.location, &nobodys).await?;
        let (gone, kept): (Vec<_>, Vec<_>) =
            std::mem::take(files).into_iter().partition(|file| nobodys.contains(&file.name));
        *files = kept;
        self.counters.note_reclaimed(removed, gone.iter().map(|file| file.bytes).sum());
        Ok(())
    }

    /// Writes a manifest of the current state, unless there is one, and returns the names in the last manifest. A lost
    /// metastore is rebuilt from the files that it names, so they must not be removed.
    async fn told_names(self: &Arc<Self>) -> Result<HashSet<String>> {
        self.write_manifest().await?;
        let told = self.manifested.lock().clone();
        Ok(told.map(|told| self.names_of(&told.view)).unwrap_or_default())
    }
}

/// Adds what a change removes to `files`, if it is a file and not inline.
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
        // The other changes add something.
        _ => {}
    }
}
