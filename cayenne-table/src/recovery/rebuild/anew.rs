//! Rebuilds the metastore in a folder of its own, and moves it into place once it is complete.

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

/// The folder, in the metadata folder, in which the new metastore is built.
const BEING_MADE: &str = "rebuilding";

/// The old metastore after it was moved aside.
struct Moved {
    folder: Option<PathBuf>,
    /// The current path and the former path of each file; the database file first.
    files: Vec<(PathBuf, PathBuf)>,
}

impl Moved {
    /// Moves the old metastore back into place, the database file last.
    fn put_back(&self, rebuild: &Rebuild) -> Result<()> {
        for (aside, place) in self.files.iter().rev() {
            rebuild.fs.rename(aside, place).map_err(|error| cannot(error, aside))?;
        }
        let metadata = rebuild.metadata();
        rebuild.fs.sync_dir(&metadata).map_err(|error| cannot(error, &metadata))
    }
}

/// The name of the new metastore in that folder while it is incomplete. Once it is complete, it has its final name
/// there.
const INCOMPLETE: &str = "metastore.partial";

impl Rebuild {
    /// Finishes an earlier recovery that was broken off after it had completed a new metastore: moves that into place.
    /// Only that metastore has the staged commits. Returns whether there was one, and the folder of the files of the
    /// old metastore that were still to be moved aside.
    pub(super) fn finish(&self) -> Result<(bool, Option<PathBuf>)> {
        let (file, folder) = (self.settings.backend.file(), self.metadata().join(BEING_MADE));
        // List the folder instead of opening the file: closing a file drops the locks that SQLite has on it.
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

    /// Rebuilds the metastore, and returns the folder that the old one was moved to.
    pub(super) async fn make_anew(&self, plans: &[Plan], views: &[SqlView]) -> Result<Option<PathBuf>> {
        for plan in plans.iter().filter(|plan| plan.from == RecoveredFrom::Nothing) {
            // The new metastore will not know this table: without a mark, the next collection would take its folder for
            // an orphan.
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
                // A table that comes from a manifest may have had this name before the view. It takes precedence: rows
                // are worth more than a query.
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
        // From here on no process writes to the old metastore. A table that was created in it since it was read is in
        // no plan.
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
        // The database file goes first: without the files next to it, it would tell an earlier state.
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

    /// Returns the names of a metastore file and of the files that its database keeps next to it, the metastore file
    /// last.
    fn files_of(&self, folder: &Path, file: &str) -> Result<Vec<String>> {
        let entries = self.fs.list(folder).map_err(|error| cannot(error, folder))?;
        let beside = format!("{file}-");
        let names: BTreeSet<_> = entries.into_iter().filter(|entry| !entry.is_dir).map(|entry| entry.name).collect();
        let (itself, mut names): (Vec<_>, Vec<_>) =
            names.into_iter().filter(|name| *name == file || name.starts_with(&beside)).partition(|name| *name == file);
        names.extend(itself);
        Ok(names)
    }

    /// Removes the folder in which a metastore is built, and the files in it.
    fn clear(&self, folder: &Path) -> Result<()> {
        let cleared = match self.fs.list(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => Err(error),
            Ok(entries) => entries.iter().try_for_each(|entry| self.fs.remove_file(&folder.join(&entry.name))),
        };
        cleared.and_then(|()| self.fs.remove_dir(folder)).map_err(|error| cannot(error, folder))
    }
}
