//! Data files that a pass has put others in the place of. They go as soon as no snapshot that is kept names them, and nobody
//! has to look through a folder for that: who put others in their place knows their names.

use std::sync::Arc;

use cayenne_format::{DataFile, Location, Result, path};

use crate::view::object_name;
use crate::{Table, View};

impl Table {
    /// Returns the names of data files, and of what belongs to them.
    pub(crate) fn names_with(&self, view: &View, files: &[Arc<DataFile>]) -> Vec<String> {
        let mut names = Vec::new();
        for file in files {
            names.extend(object_name(file).map(str::to_owned));
            if self.options().has_key() {
                names.push(path::key_index(file.id));
            }
            names.extend(view.snapshot().deletions_of(file.id).filter_map(|deletion| match &deletion.location {
                Location::Path(name) => Some(name.clone()),
                Location::Inline(_) => None,
            }));
        }
        names
    }

    /// Notes that these are no longer part of the table.
    pub(crate) fn retire(&self, names: Vec<String>) {
        self.retired.lock().extend(names);
    }

    pub(crate) fn has_retired(&self) -> bool {
        !self.retired.lock().is_empty()
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
        if !self.has_retired() {
            return Ok(());
        }
        self.expire(self.options().retention).await?;
        let names = std::mem::take(&mut *self.retired.lock());
        let mut gone = Vec::new();
        for name in names {
            if self.is_kept(&name).await? {
                self.retire(vec![name]);
            } else {
                gone.push(name);
            }
        }
        if gone.is_empty() {
            return Ok(());
        }
        // What has made them nobody's must not be taken back by a power cut.
        self.shared.metastore.make_durable().await?;
        self.shared.storage.remove_files(&self.record.location, &gone).await.map(drop)
    }
}
