//! Collects orphans: removes the files that no kept snapshot names, which are left by writes that were not committed.

use std::sync::Arc;

use cayenne_format::{ErrorKind, Result, TableId, path};
use cayenne_metastore::TableKey;

use crate::{Access, Database, Table};

/// What a collection found. It also removed the files and folders, unless it was only to look for them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Orphan files, relative to the data folder.
    pub files: Vec<String>,
    /// Their length, in bytes.
    pub bytes: u64,
    /// Folders of tables that the metastore does not know.
    pub folders: Vec<String>,
    /// Tables and folders that were passed over because they are still written or read.
    pub busy: Vec<String>,
    /// Folders of tables that the metastore has lost: it does not know the table, or knows an earlier state than a
    /// manifest tells. They stay as they are.
    pub lost: Vec<String>,
}

/// One thing that a collection found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finding<'a> {
    /// A `file`, a `folder`, or a `table`.
    pub kind: &'static str,
    /// Its name.
    pub name: &'a str,
    /// What was done with it, or would be.
    pub outcome: &'static str,
}

impl Collected {
    /// Returns each thing that was found.
    pub fn findings(&self, were_removed: bool) -> impl Iterator<Item = Finding<'_>> {
        let outcome = if were_removed { "removed" } else { "would be removed" };
        let groups = [
            ("file", outcome, &self.files),
            ("folder", outcome, &self.folders),
            ("table", "passed over", &self.busy),
            ("folder", "kept", &self.lost),
        ];
        groups
            .into_iter()
            .flat_map(|(kind, outcome, names)| names.iter().map(move |name| Finding { kind, name, outcome }))
    }
}

impl Database {
    /// Finds orphan files, which no kept snapshot names. Removes them if `remove` is true.
    ///
    /// A table that another process writes is passed over: its writer may be about to commit the files.
    ///
    /// # Errors
    ///
    /// `Invalid` (code `read-only`) if the database is open read-only; what the file system or the metastore returns.
    pub async fn collect(&self, remove: bool) -> Result<Collected> {
        if remove || self.access() == Access::ReadOnly {
            self.shared.writable()?;
        }
        let mut collected = Collected::default();
        for record in self.tables().await? {
            self.open_table(record).await?.collect(remove, &mut collected).await?;
        }
        self.collect_folders(remove, &mut collected).await?;
        if remove {
            self.shared.readers.remove_the_dead()?;
        }
        Ok(collected)
    }

    async fn collect_folders(&self, remove: bool, collected: &mut Collected) -> Result<()> {
        for (location, id) in self.shared.storage.table_folders().await? {
            // The lock of a known table is for its writer: taking it, even for a moment, would turn a writer away.
            if self.knows(id).await? {
                continue;
            }
            // The lock comes before the next check: a table that is being created is locked until the metastore knows
            // it.
            let Some(lock) = self.shared.lock(id)? else {
                if !self.knows(id).await? {
                    collected.busy.push(location);
                }
                continue;
            };
            if self.knows(id).await? {
                continue;
            }
            let is_read = self.tables.lock().is_still_read(id) || self.shared.readers.oldest_elsewhere(id)?.is_some();
            if is_read {
                collected.busy.push(location);
                continue;
            }
            // Dropping a table removes its manifests first. A folder that still has one, or the mark of a lost table,
            // was not dropped.
            if self.shared.storage.tells_of_a_table(&location).await? {
                collected.lost.push(location);
                continue;
            }
            if remove {
                self.shared.forget_folder(&location, id).await;
            }
            drop(lock);
            collected.folders.push(location);
        }
        Ok(())
    }

    async fn knows(&self, id: TableId) -> Result<bool> {
        Ok(self.shared.metastore.find_table(&TableKey::Id(id)).await?.is_some())
    }
}

impl Table {
    async fn collect(self: Arc<Self>, remove: bool, collected: &mut Collected) -> Result<()> {
        let _alone = self.unnamed_files.write().await;
        self.collect_alone(remove, collected).await
    }

    /// As [`collect`](Self::collect), for a caller that holds `unnamed_files` exclusively.
    pub(crate) async fn collect_alone(self: &Arc<Self>, remove: bool, collected: &mut Collected) -> Result<()> {
        if self.is_older_than_its_manifests().await? {
            // An old copy of the metastore was put back. A recovery needs the files that it does not name.
            collected.lost.push(self.record.location.clone());
            return Ok(());
        }
        let was_writer = self.is_writer();
        match self.require_latest_writer().await {
            Ok(()) => {}
            Err(error) if error.stable_code() == "table-locked" => {
                collected.busy.push(self.name().to_string());
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        let looked = self.collect_as_writer(remove, collected).await;
        if !was_writer {
            // Collecting orphans is no reason to keep other processes from writing.
            self.release().await;
        }
        looked
    }

    async fn collect_as_writer(self: &Arc<Self>, remove: bool, collected: &mut Collected) -> Result<()> {
        // Files in a folder without the marker of this table may belong to another table.
        self.shared.storage.check_table_folder(&self.record.location, self.id()).await?;
        if remove && let Err(error) = self.write_manifest().await {
            // In that case, the files that the previous manifest names stay.
            tracing::warn!(%error, table = %self.name(), "no manifest was written before files are removed");
        }
        let mut names = Vec::new();
        let mut kept = self.live_names();
        kept.extend(self.staged_names().await?);
        if remove {
            kept.extend(self.manifested.lock().as_ref().map(|told| self.names_of(&told.view)).unwrap_or_default());
        }
        for orphan in self.shared.storage.orphans(&self.record.location, &kept).await? {
            if self.is_kept(&orphan.name).await? {
                continue;
            }
            collected.bytes += orphan.bytes;
            collected.files.push(format!("{}/{}", self.record.location, orphan.name));
            names.push(orphan.name);
        }
        if remove && !names.is_empty() {
            // The commits that made the files orphans must survive a power failure.
            self.shared.metastore.make_durable().await?;
            self.shared.storage.remove_files(&self.record.location, &names).await?;
        }
        Ok(())
    }

    /// Returns whether an earlier snapshot names this file.
    pub(crate) async fn is_kept(&self, name: &str) -> Result<bool> {
        let (_, last) = name.rsplit_once('/').unwrap_or(("", name));
        if let Some(id) = path::parse_deletion_file(last) {
            return self.shared.metastore.knows_deletion(self.id(), id).await;
        }
        let Some(id) = path::data_file_id(name).or_else(|| path::parse_key_index(last)) else {
            return Ok(true);
        };
        match self.shared.metastore.load_blocks(self.id(), id).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}
