//! Files that a commit has put others in the place of, or taken away. They go as soon as no snapshot that is kept names
//! them, and nobody has to look through a folder for that: who took them away knows their names.

use std::sync::Arc;

use cayenne_format::{Change, Location, Operation, Result, TableCommit};

use crate::metrics::Upkeep;
use crate::view::object_name;
use crate::{Table, View};

/// What is no longer part of a table, and still on the disk.
#[derive(Debug, Default)]
pub(crate) struct Retired {
    files: Vec<RetiredFile>,
    /// Whether any has come since somebody tried to remove them.
    has_new: bool,
}

#[derive(Debug)]
struct RetiredFile {
    name: String,
    /// As far as known: of a deletion file only the disk knows them.
    bytes: u64,
}

impl Retired {
    pub(crate) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Says whether there is something that nobody has tried to remove yet.
    pub(crate) fn has_new(&self) -> bool {
        self.has_new
    }

    fn take(&mut self) -> Vec<RetiredFile> {
        self.has_new = false;
        std::mem::take(&mut self.files)
    }
}

impl Table {
    /// Notes what a commit takes away. Where the table does not look after itself, others than passes leave it to `collect`.
    pub(crate) fn retire(&self, base: &View, commit: &TableCommit) {
        if !self.shared.maintenance.is_on() && commit.operation != Operation::Compact {
            return;
        }
        let mut files = Vec::new();
        commit.changes.iter().for_each(|change| gone(base, change, &mut files));
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
        if self.retired.lock().is_empty() {
            return Ok(());
        }
        self.expire(self.options().retention).await?;
        let mut gone = Vec::new();
        let mut kept = Vec::new();
        let retired = self.retired.lock().take();
        for file in retired {
            // What cannot be told stays: an error must not make it forgotten.
            let is_kept = self.is_kept(&file.name).await.unwrap_or(true);
            if is_kept { &mut kept } else { &mut gone }.push(file);
        }
        self.retired.lock().files.append(&mut kept);
        if gone.is_empty() {
            return Ok(());
        }
        let removed = self.remove_nobodys(&gone).await;
        self.counters.note_upkeep(Upkeep::Collect, &removed);
        if removed.is_err() {
            self.retired.lock().files.append(&mut gone);
        }
        removed
    }

    async fn remove_nobodys(&self, files: &[RetiredFile]) -> Result<()> {
        let names: Vec<_> = files.iter().map(|file| file.name.clone()).collect();
        // What has made them nobody's must not be taken back by a power cut.
        self.shared.metastore.make_durable().await?;
        self.shared.storage.remove_files(&self.record.location, &names).await?;
        self.counters.note_reclaimed(files.len(), files.iter().map(|file| file.bytes).sum());
        Ok(())
    }
}

/// Adds what a change takes away and is a file.
fn gone(base: &View, change: &Change, files: &mut Vec<RetiredFile>) {
    let snapshot = base.snapshot();
    let mut add = |location: &Location| {
        if let Location::Path(name) = location {
            files.push(RetiredFile { name: name.clone(), bytes: 0 });
        }
    };
    match change {
        Change::RemoveFile(id) => {
            snapshot.deletions_of(*id).for_each(|deletion| add(&deletion.location));
            if let Some(file) = snapshot.file(*id)
                && let Some(name) = object_name(file)
            {
                // Its key index goes with it.
                files.push(RetiredFile { name: name.to_owned(), bytes: file.bytes });
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
