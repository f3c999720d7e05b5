//! Exports one table as a slice: a folder with a small metastore and the data files, whose names are relative to the
//! folder.

use std::io;
use std::path::Path;
use std::sync::Arc;

use cayenne_format::{CommitId, Error, Location, NewDataFile, Result, Sequence, TableState, path};
use cayenne_metastore::{Beginning, Metastore, NewTable, Restored, SqliteMetastore, SqliteSettings};

use cayenne_storage::Fs;

use crate::view::current::object_name;
use crate::{Table, View, task};

/// The name of the metastore of a slice while it is written. The folder is a slice once the metastore has its final
/// name.
pub(crate) const BEING_MADE: &str = "metadata.partial";

/// What was written into a slice, or read from one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SliceContents {
    /// The sequence of the table.
    pub sequence: Sequence,
    /// The number of visible rows.
    pub rows: u64,
    /// The number of data files, inline ones included.
    pub files: usize,
    /// The length of the data files, in bytes.
    pub bytes: u64,
}

impl SliceContents {
    /// `rows` are the visible ones.
    pub(crate) fn of(state: &TableState, rows: u64) -> Self {
        let sum = |count: fn(&NewDataFile) -> u64| state.files.iter().map(count).fold(0, u64::saturating_add);
        Self { sequence: state.sequence, rows, files: state.files.len(), bytes: sum(|new| new.file.bytes) }
    }
}

impl Table {
    /// Exports the current snapshot into a folder as a slice: `metadata.db`, a SQLite metastore with this table alone,
    /// and the data files in `files`, verified while they are copied. All names are relative, so the folder may be
    /// moved.
    ///
    /// The folder is created if it is missing, and refused if it is not empty. The slice is durable when this returns.
    /// The table may be written meanwhile.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` (code `folder-not-empty`); `Corrupt` or `NotFound` for a data file that is damaged or missing;
    /// what the file system returns. On an error, nothing is left that could be taken for a slice.
    pub async fn export(self: &Arc<Self>, folder: &Path) -> Result<SliceContents> {
        let folder = std::path::absolute(folder)
            .map_err(|error| Error::invalid("the folder of the slice cannot be used").because(error))?;
        let (view, sources) = self.current().await?;
        let mut state = self.manifest(&view, None, sources).await?.state;
        self.inline_deletions(&view, &mut state).await?;
        let contents = SliceContents::of(&state, self.visible_rows(&view).await?);
        claim(self.shared.fs.as_ref(), &folder).map_err(|error| error.with("folder", folder.display()))?;
        let table = Arc::clone(self);
        // The slice is finished even if the caller stops waiting: half a slice is of no use.
        task::to_the_end(async move {
            let written = table.write_slice(&folder, state).await;
            if written.is_err() {
                remove_what_was_written(table.shared.fs.as_ref(), &folder);
            }
            drop(view);
            written.map_err(|error| error.with("table", table.name()))
        })
        .await?;
        Ok(contents)
    }

    /// Stores deletion and tombstone files inline in the metastore of the slice, because the files of a slice are data
    /// files.
    async fn inline_deletions(&self, view: &View, state: &mut TableState) -> Result<()> {
        for deletion in &mut state.deletions {
            let Some(file) = view.snapshot().file(deletion.data_file) else { continue };
            // Read to verify it: damaged bytes must not be exported.
            self.read_deletion(file, deletion).await?;
            deletion.location = Location::Inline(self.hidden_bytes(&deletion.location).await?);
        }
        for tombstones in &mut state.tombstones {
            let bytes = self.hidden_bytes(&tombstones.location).await?;
            self.decode_tombstones(tombstones, &bytes)?;
            tombstones.location = Location::Inline(bytes);
        }
        Ok(())
    }

    async fn write_slice(&self, folder: &Path, mut state: TableState) -> Result<()> {
        let files = folder.join(path::SLICE_FILES);
        self.shared.fs.create_dir_all(&files).map_err(cannot_write)?;
        state.files.sort_by_key(|new| object_name(&new.file).is_none());
        self.shared.storage.copy_out(&self.record.location, state.files.clone(), &files).await?;
        self.write_slice_metastore(&folder.join(BEING_MADE), state).await?;
        complete(self.shared.fs.as_ref(), folder)
    }

    async fn write_slice_metastore(&self, file: &Path, state: TableState) -> Result<()> {
        let environment = &self.shared.environment;
        let steps = Arc::clone(&environment.steps);
        let metastore = SqliteMetastore::open(file, SqliteSettings::default(), steps).await?;
        let restored =
            Restored { commit: CommitId::draw(environment.ids.as_ref()), made_at: environment.clock.now(), state };
        let new = NewTable {
            id: self.id(),
            name: self.name().clone(),
            location: path::SLICE_FILES.to_owned(),
            schema: Arc::clone(self.schema()),
            options: self.options().clone(),
            made_at: self.record.made_at,
            begins: Beginning::Restored(Box::new(restored)),
            replaces: None,
        };
        let created = metastore.create_table(&new).await;
        let closed = metastore.close().await;
        created.map(drop).and(closed)
    }
}

/// Claims an empty folder for this export. Of two concurrent exports, only one succeeds.
pub(crate) fn claim(fs: &dyn Fs, folder: &Path) -> Result<()> {
    let taken =
        || Error::already_exists("the folder is not empty").code("folder-not-empty").help("choose a new folder");
    fs.create_dir_all(folder).map_err(cannot_write)?;
    if !fs.list(folder).map_err(cannot_write)?.is_empty() {
        return Err(taken());
    }
    match fs.create_file(&folder.join(BEING_MADE)) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(taken()),
        Err(error) => Err(cannot_write(error)),
    }
}

/// Removes what this export has written, so that it can be tried again. What stays is not a slice.
pub(crate) fn remove_what_was_written(fs: &dyn Fs, folder: &Path) {
    if let Err(error) = remove(fs, folder, is_of_a_slice) {
        tracing::warn!(%error, folder = %folder.display(), "a slice that was broken off was left");
    }
}

/// Gives the metastore of a slice its final name, once everything else is written.
pub(crate) fn complete(fs: &dyn Fs, folder: &Path) -> Result<()> {
    // A SQLite database that was not closed properly keeps a part of its content in files next to it.
    let beside = |name: &str| name.starts_with(BEING_MADE) && name != BEING_MADE;
    if fs.list(folder).map_err(cannot_write)?.iter().any(|entry| beside(&entry.name)) {
        return Err(Error::unavailable("the metastore of the slice could not be completed").help("try again"));
    }
    let named = fs.rename(&folder.join(BEING_MADE), &folder.join(path::SLICE_METASTORE));
    let above = folder.parent().map_or(Ok(()), |above| fs.sync_dir(above));
    named.and_then(|()| fs.sync_dir(folder)).and(above).map_err(cannot_write)
}

fn is_of_a_slice(name: &str) -> bool {
    name == path::SLICE_METASTORE || name == path::SLICE_FILES || name.starts_with(BEING_MADE)
}

/// Removes the entries of a folder that have one of these names, and everything below them. Links are not followed.
fn remove(fs: &dyn Fs, folder: &Path, names: fn(&str) -> bool) -> io::Result<()> {
    for entry in fs.list(folder)?.into_iter().filter(|entry| names(&entry.name)) {
        let at = folder.join(&entry.name);
        if entry.is_dir {
            remove(fs, &at, |_| true)?;
            fs.remove_dir(&at)?;
        } else {
            fs.remove_file(&at)?;
        }
    }
    Ok(())
}

fn cannot_write(error: io::Error) -> Error {
    Error::io("the slice cannot be written", error)
}
