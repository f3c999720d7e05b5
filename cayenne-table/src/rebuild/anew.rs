//! Making the metastore anew: in a folder of its own, and in its place once it is complete.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use cayenne_format::Result;

use super::plan::Plan;
use super::{Rebuild, RecoveredFrom, cannot};
use crate::aside::Aside;
use crate::{Access, backend};

/// The folder, in the metadata folder, in which the new metastore is made.
const BEING_MADE: &str = "rebuilding";

/// Its name there as long as it is not complete; then it has the one that it will have in its place.
const INCOMPLETE: &str = "metastore.partial";

impl Rebuild {
    /// Puts a new metastore in its place that an earlier recovery has made, and was broken off before. What was staged is
    /// told by that one alone. Returns whether there was one, and where what was still to be moved of the old one is now.
    pub(super) fn finish(&self) -> Result<(bool, Option<PathBuf>)> {
        let (file, folder) = (self.settings.backend.file(), self.metadata().join(BEING_MADE));
        let is_there = |at: &Path| match self.fs.open_file(at) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(cannot(error, at)),
        };
        if !is_there(&folder.join(file))? || is_there(&self.metadata().join(file))? {
            return Ok((false, None));
        }
        self.put_in_place(&folder, file).map(|moved| (true, moved))
    }

    /// Makes the metastore anew, and returns where the old one is now.
    pub(super) async fn make_anew(&self, plans: &[Plan]) -> Result<Option<PathBuf>> {
        for plan in plans.iter().filter(|plan| plan.from == RecoveredFrom::Metastore) {
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
        metastore.close().await?;
        for name in self.files_of(&folder, INCOMPLETE)? {
            let (from, to) = (folder.join(&name), folder.join(name.replace(INCOMPLETE, file)));
            self.fs.rename(&from, &to).map_err(|error| cannot(error, &from))?;
        }
        self.fs.sync_dir(&folder).map_err(|error| cannot(error, &folder))?;
        self.put_in_place(&folder, file)
    }

    /// Moves the old metastore aside and the new one to its place.
    fn put_in_place(&self, folder: &Path, file: &str) -> Result<Option<PathBuf>> {
        let metadata = self.metadata();
        let mut aside = Aside::within(&self.root, &self.fs, &self.environment);
        // The old file goes first: without what is beside it, it would tell of an earlier moment.
        for name in self.files_of(&metadata, file)?.into_iter().rev() {
            aside.take(&metadata.join(name))?;
        }
        for name in self.files_of(folder, file)? {
            let (from, to) = (folder.join(&name), metadata.join(&name));
            self.fs.rename(&from, &to).map_err(|error| cannot(error, &from))?;
        }
        self.fs.sync_dir(&metadata).map_err(|error| cannot(error, &metadata))?;
        self.clear(folder)?;
        Ok(aside.folder().map(Path::to_owned))
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
