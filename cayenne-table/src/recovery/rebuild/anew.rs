//! Making the metastore anew: in a folder of its own, and in its place once it is complete.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use cayenne_format::{Error, ErrorKind, Result};
use cayenne_metastore::SqlView;

use super::plan::Plan;
use super::{Rebuild, RecoveredFrom, cannot};
use crate::Access;
use crate::handle::backend;
use crate::recovery::aside::Aside;

/// The folder, in the metadata folder, in which the new metastore is made.
const BEING_MADE: &str = "rebuilding";

/// The old metastore, out of the way.
struct Moved {
    folder: Option<PathBuf>,
    /// Where each file is, and where it was; the database file first.
    files: Vec<(PathBuf, PathBuf)>,
}

impl Moved {
    /// Puts it back where it was, the database file last.
    fn put_back(&self, rebuild: &Rebuild) -> Result<()> {
        for (aside, place) in self.files.iter().rev() {
            rebuild.fs.rename(aside, place).map_err(|error| cannot(error, aside))?;
        }
        let metadata = rebuild.metadata();
        rebuild.fs.sync_dir(&metadata).map_err(|error| cannot(error, &metadata))
    }
}

/// Its name there as long as it is not complete; then it has the one that it will have in its place.
const INCOMPLETE: &str = "metastore.partial";

impl Rebuild {
    /// Puts a new metastore in its place that an earlier recovery has made, and was broken off before. What was staged is
    /// told by that one alone. Returns whether there was one, and where what was still to be moved of the old one is now.
    pub(super) fn finish(&self) -> Result<(bool, Option<PathBuf>)> {
        let (file, folder) = (self.settings.backend.file(), self.metadata().join(BEING_MADE));
        // Looked for in the folder and not opened: closing a file takes away the locks that SQLite has on it.
        let is_there = |folder: &Path| match self.fs.list(folder) {
            Ok(entries) => Ok(entries.iter().any(|entry| entry.name == file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(cannot(error, folder)),
        };
        if !is_there(&folder)? || is_there(&self.metadata())? {
            return Ok((false, None));
        }
        let moved = self.move_old_aside(file)?;
        self.put_in_place(&folder, file)?;
        Ok((true, moved.folder))
    }

    /// Makes the metastore anew, and returns where the old one is now.
    pub(super) async fn make_anew(&self, plans: &[Plan], views: &[SqlView]) -> Result<Option<PathBuf>> {
        for plan in plans.iter().filter(|plan| plan.from == RecoveredFrom::Nothing) {
            // The new metastore will not know it: without a mark it would be a left-over to the next collection.
            self.storage.mark_lost(&plan.location).await?;
        }
        for plan in plans.iter().filter(|plan| plan.from == RecoveredFrom::Metastore && !plan.is_written) {
            if let Some(manifest) = &plan.manifest {
                self.storage.write_manifest(&plan.location, manifest).await?;
            }
        }
        let folder = self.metadata().join(BEING_MADE);
        self.clear(&folder)?;
        self.fs.create_dir_all(&folder).map_err(|error| cannot(error, &folder))?;
        let file = self.settings.backend.file();
        let metastore =
            backend::open_at(&folder.join(INCOMPLETE), Access::ReadWrite, &self.settings, &self.environment).await?;
        for plan in plans {
            self.create(metastore.as_ref(), plan, None).await?;
        }
        for view in views {
            match metastore.create_view(view, false).await {
                // An earlier name of a table that comes from a manifest: rows are more than a query.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    tracing::warn!(%error, "a view is not brought back");
                }
                made => made?,
            }
        }
        metastore.close().await?;
        for name in self.files_of(&folder, INCOMPLETE)? {
            let (from, to) = (folder.join(&name), folder.join(name.replace(INCOMPLETE, file)));
            self.fs.rename(&from, &to).map_err(|error| cannot(error, &from))?;
        }
        self.fs.sync_dir(&folder).map_err(|error| cannot(error, &folder))?;
        let moved = self.move_old_aside(file)?;
        // From here on nobody writes to the old one any more. What was made in it since it was read is in no plan.
        let made =
            self.storage.table_folders().await?.into_iter().find(|(_, id)| plans.iter().all(|plan| plan.id != *id));
        if let Some((location, _)) = made {
            self.clear(&folder)?;
            moved.put_back(self)?;
            return Err(Error::unavailable("a table was made while the metastore was read")
                .with("folder", location)
                .help("stop all processes that use the database, and try again"));
        }
        self.put_in_place(&folder, file)?;
        Ok(moved.folder)
    }

    /// Moves the old metastore aside.
    fn move_old_aside(&self, file: &str) -> Result<Moved> {
        let metadata = self.metadata();
        let mut aside = Aside::within(&self.root, &self.fs, &self.environment);
        let mut files = Vec::new();
        // The old file goes first: without what is beside it, it would tell of an earlier moment.
        for name in self.files_of(&metadata, file)?.into_iter().rev() {
            let from = metadata.join(name);
            files.push((aside.take(&from)?, from));
        }
        Ok(Moved { folder: aside.folder().map(Path::to_owned), files })
    }

    /// Moves the new metastore to its place.
    fn put_in_place(&self, folder: &Path, file: &str) -> Result<()> {
        let metadata = self.metadata();
        if !self.files_of(&metadata, file)?.is_empty() {
            return Err(Error::unavailable("another process has made a metastore meanwhile")
                .with("metastore", metadata.join(file).display())
                .help("stop all processes that use the database, and try again"));
        }
        for name in self.files_of(folder, file)? {
            let (from, to) = (folder.join(&name), metadata.join(&name));
            self.fs.rename(&from, &to).map_err(|error| cannot(error, &from))?;
        }
        self.fs.sync_dir(&metadata).map_err(|error| cannot(error, &metadata))?;
        self.clear(folder)
    }

    /// Returns the names of a metastore file and of what its database keeps beside it, the file itself last.
    fn files_of(&self, folder: &Path, file: &str) -> Result<Vec<String>> {
        let entries = self.fs.list(folder).map_err(|error| cannot(error, folder))?;
        let beside = format!("{file}-");
        let names: BTreeSet<_> = entries.into_iter().filter(|entry| !entry.is_dir).map(|entry| entry.name).collect();
        let (itself, mut names): (Vec<_>, Vec<_>) =
            names.into_iter().filter(|name| *name == file || name.starts_with(&beside)).partition(|name| *name == file);
        names.extend(itself);
        Ok(names)
    }

    /// Removes what an earlier recovery has begun to make.
    fn clear(&self, folder: &Path) -> Result<()> {
        let cleared = match self.fs.list(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => Err(error),
            Ok(entries) => entries.iter().try_for_each(|entry| self.fs.remove_file(&folder.join(&entry.name))),
        };
        cleared.and_then(|()| self.fs.remove_dir(folder)).map_err(|error| cannot(error, folder))
    }
}
