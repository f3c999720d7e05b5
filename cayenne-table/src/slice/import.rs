//! Imports a table from a slice, which is not trusted: nothing in it is used before it is checked, and nothing is
//! changed before all of it is checked.

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use cayenne_deletes::{DeletionVector, KeyCodec, Tombstones};
use cayenne_format::{
    BlockChecksums, CommitId, Error, ErrorKind, FileId, Ids, Location, NewDataFile, Result, Step, TableId, TableName,
    TableState, path, stored_schema,
};
use cayenne_metastore::{Beginning, Metastore, NewTable, Restored, SqliteMetastore, SqliteSettings, TableRecord};
use cayenne_storage::{FileLock, LoadBlocks, ReadRequest};

use crate::define::definition::name_taken;
use crate::define::drop::retire;
use crate::define::replace::Replacing;
use crate::recovery::table_state;
use crate::slice::export::SliceContents;
use crate::state::key_codec::codec_of;
use crate::{Database, Table, task};

/// How a slice is imported.
#[derive(Clone, Debug, Default)]
pub struct ImportOptions {
    /// The name of the table. Default: the one it has in the slice.
    pub name: Option<TableName>,
    /// Whether the new table atomically replaces a table of this name. If false, such a table is an error.
    pub replace: bool,
}

/// A slice that was read and checked.
struct Slice {
    folder: PathBuf,
    record: TableRecord,
    state: TableState,
}

impl Database {
    /// Creates a table from a slice, a folder that [`Table::export`] has written. The data files are copied, and
    /// verified while they are copied. The table and its files get new ids, so one slice may be imported any number of
    /// times. Once copying has begun, the import is finished even if the caller stops waiting.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` (code `table-exists`) if the name is taken; `NotFound` (code `no-slice`) if there is no slice;
    /// `Corrupt` or `Unsupported` for one that is damaged, incomplete, or names anything outside its folder. On an
    /// error, nothing is changed.
    pub async fn import(&self, folder: &Path, options: ImportOptions) -> Result<(Arc<Table>, SliceContents)> {
        self.shared.writable()?;
        let of_slice = |error: Error| error.with("slice", folder.display());
        let slice = self.look_at_slice(folder).await.map_err(of_slice)?;
        let name = options.name.unwrap_or_else(|| slice.record.name.clone());
        let existing = self.table(&name).await?;
        if existing.is_some() && !options.replace {
            return Err(name_taken(&name).help("import it under another name, or in place of that table"));
        }
        self.require_no_view(&name).await?;
        let mut contents = SliceContents::of(&slice.state, 0);
        let table = self.import_as(slice, name, existing).await.map_err(of_slice)?;
        contents.rows = table.visible_rows(&*table.view().await?).await?;
        Ok((table, contents))
    }

    async fn import_as(&self, slice: Slice, name: TableName, existing: Option<Arc<Table>>) -> Result<Arc<Table>> {
        let id = TableId::draw(self.shared.environment.ids.as_ref());
        let location = path::table_folder(&name, id);
        // Held while the metastore does not know the table, so that no other process takes the folder for an orphan.
        let lock = self.shared.lock(id)?;
        let new = NewTable {
            id,
            name,
            location: location.clone(),
            schema: Arc::clone(&slice.record.schema),
            options: slice.record.options.clone(),
            made_at: slice.record.made_at,
            begins: Beginning::Empty,
            replaces: None,
        };
        let replaced = existing.clone();
        let here = Self { shared: Arc::clone(&self.shared), tables: Arc::clone(&self.tables) };
        // A copy that has begun goes on even if the caller stops waiting, so that the lock is held until the end.
        task::to_the_end(async move {
            match here.fill_from_slice(slice, new, existing, lock).await {
                Ok(record) => here.open_made(record).await,
                Err(error) => {
                    let made = here.settle_failure(error, &location, id).await?;
                    // The table was created after all; only the answer was lost.
                    if let Some(replaced) = &replaced {
                        retire(&here.shared, &here.tables, replaced).await;
                    }
                    Ok(made)
                }
            }
        })
        .await
    }

    async fn fill_from_slice(
        &self,
        slice: Slice,
        mut new: NewTable,
        existing: Option<Arc<Table>>,
        lock: Option<FileLock>,
    ) -> Result<TableRecord> {
        let Slice { folder, state, .. } = slice;
        let (shared, environment) = (&self.shared, &self.shared.environment);
        let (names, state) = with_new_ids(state, environment.ids.as_ref())?;
        shared.storage.create_table_folder(&new.location, new.id).await?;
        let files = names.into_iter().zip(state.files.iter().cloned()).collect();
        shared.storage.copy_in(&folder.join(path::SLICE_FILES), &new.location, files).await?;
        self.look_at_files(&new, &state.files).await?;
        let restored =
            Restored { commit: CommitId::draw(environment.ids.as_ref()), made_at: environment.clock.now(), state };
        new.begins = Beginning::Restored(Box::new(restored));
        environment.steps.before(Step::HandCommit)?;
        let created = match existing {
            None => shared.metastore.create_table(&new).await,
            Some(replaced) => self.create_in_place_of(Replacing::begin(&replaced).await?, new).await,
        };
        // The folder must not be collected before this point.
        drop(lock);
        created
    }

    /// Reads and checks what a slice says of its table. Only the data files themselves are not checked yet.
    async fn look_at_slice(&self, folder: &Path) -> Result<Slice> {
        let folder = std::path::absolute(folder)
            .map_err(|error| Error::invalid("the folder of the slice cannot be used").because(error))?;
        let file = self.require_slice(&folder)?;
        let metastore = SqliteMetastore::open_read_only(&file, SqliteSettings::default()).await?;
        let read = read_slice(&metastore).await;
        metastore.close().await?;
        let (record, state) = read?;
        record.options.validate()?;
        let codec = codec_of(&record.schema, &record.options, record.id)?;
        let schema = stored_schema(&record.schema, record.options.unsupported_type_action)?;
        if schema != record.schema {
            return Err(damaged("the schema of the slice is not one that a table is stored with"));
        }
        state.check()?;
        state.files.iter().try_for_each(require_name)?;
        state.files.iter().try_for_each(|new| require_statistics(new, schema.fields().len()))?;
        require_hidden(&state)?;
        require_tombstones(&state, codec.as_ref())?;
        self.require_files(&folder, &state)?;
        let hidden = state.deletions.iter().map(|deletion| &deletion.location);
        if hidden.chain(state.tombstones.iter().map(|file| &file.location)).any(|at| matches!(at, Location::Path(_))) {
            return Err(Error::unsupported("the slice has deletion files outside its metastore"));
        }
        for new in state.files.iter().filter(|new| new.file.is_inline()) {
            self.shared.storage.verify(path::SLICE_FILES, &new.file).await?;
            let rows = self.shared.storage.inline_rows(&Arc::new(new.file.clone()), &record.schema)?;
            require_rows(&new.file.id, new.file.rows, rows.num_rows() as u64)?;
        }
        Ok(Slice { folder, record, state })
    }

    /// Returns the path of the metastore of a slice, which no process has open.
    pub(crate) fn require_slice(&self, folder: &Path) -> Result<PathBuf> {
        let no_slice = || Error::not_found("there is no slice in this folder").code("no-slice");
        let entries = self.shared.fs.list(folder).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => no_slice().because(error),
            _ => Error::io("the slice cannot be read", error),
        })?;
        let has = |name: &str| entries.iter().any(|entry| entry.name == name);
        if !has(path::SLICE_METASTORE) {
            return Err(no_slice().help("a slice has a file 'metadata.db'"));
        }
        let file = folder.join(path::SLICE_METASTORE);
        // This refuses a link, which could lead anywhere. A slice is not a database that this process has open, so
        // closing the file drops no lock.
        self.shared
            .fs
            .open_file(&file)
            .map_err(|error| damaged("the metastore of the slice cannot be opened").because(error))?;
        if ["-wal", "-journal"].iter().any(|ends| has(&format!("{}{ends}", path::SLICE_METASTORE))) {
            return Err(damaged("the metastore of the slice was changed since it was written"));
        }
        Ok(file)
    }

    /// Checks that every data file is a file below the folder of the slice, without a link on the way, and has its
    /// length.
    fn require_files(&self, folder: &Path, state: &TableState) -> Result<()> {
        let files = folder.join(path::SLICE_FILES);
        let names = state.files.iter().filter_map(|new| match &new.file.location {
            Location::Path(name) => Some((name, new.file.bytes)),
            Location::Inline(_) => None,
        });
        let mut folders = HashSet::from([folder.to_owned()]);
        for (name, bytes) in names {
            for above in files.join(name).ancestors().skip(1).take_while(|above| above.starts_with(folder)) {
                if folders.insert(above.to_owned()) {
                    // Listing refuses a folder that is a link.
                    self.shared.fs.list(above).map_err(|error| missing(error, name))?;
                }
            }
            let opened = self.shared.fs.open_file(&files.join(name)).and_then(|file| file.len());
            if opened.map_err(|error| missing(error, name))? != bytes {
                return Err(
                    damaged("a data file of the slice has another length than the slice says").with("file", name)
                );
            }
        }
        Ok(())
    }

    /// Checks that the copied data files, whose bytes are verified, are files of this table with the stated number of
    /// rows.
    async fn look_at_files(&self, new: &NewTable, files: &[NewDataFile]) -> Result<()> {
        let of = files.iter().map(|new| (new.file.id, new.blocks.clone()));
        let blocks: Arc<dyn LoadBlocks> = Arc::new(KnownBlocks(of.collect()));
        for file in files.iter().filter(|new| !new.file.is_inline()) {
            let request = ReadRequest {
                location: new.location.clone(),
                table: new.id,
                file: Arc::new(file.file.clone()),
                blocks: Arc::clone(&blocks),
                counters: Arc::default(),
                memory: None,
                is_last: false,
            };
            let rows = self.shared.storage.count_rows(request, &new.schema).await?;
            require_rows(&file.file.id, file.file.rows, rows)?;
        }
        Ok(())
    }
}

async fn read_slice(metastore: &dyn Metastore) -> Result<(TableRecord, TableState)> {
    let mut tables = metastore.list_tables().await?;
    if tables.is_empty() && !metastore.list_views().await?.is_empty() {
        return Err(Error::invalid("the slice contains a view, not a table").code("slice-of-view"));
    }
    let (Some(record), true) = (tables.pop(), tables.is_empty()) else {
        return Err(damaged("a slice has one table, no less and no more"));
    };
    if record.location != path::SLICE_FILES {
        return Err(damaged("the data files of a slice are in its folder 'files'").with("found", record.location));
    }
    if !metastore.load_staged(record.id).await?.is_empty() {
        return Err(damaged("a slice has no staged commits"));
    }
    let state = table_state::load(metastore, record.id).await?;
    Ok((record, state))
}

/// Returns the state with new ids for all files, and the names that the data files have in the slice, in the same
/// order. Caches are keyed by file id: with new ids, two files never share one, whatever the slice contains.
fn with_new_ids(mut state: TableState, ids: &dyn Ids) -> Result<(Vec<String>, TableState)> {
    let mut names = Vec::with_capacity(state.files.len());
    let mut known = HashMap::with_capacity(state.files.len());
    state.files.sort_by_key(|new| new.file.id);
    for NewDataFile { file, .. } in &mut state.files {
        let id = FileId::draw(ids);
        known.insert(file.id, id);
        file.id = id;
        let name = match &mut file.location {
            Location::Path(name) => std::mem::replace(name, path::data_file(id, &file.partition)),
            Location::Inline(_) => String::new(),
        };
        names.push(name);
    }
    for deletion in &mut state.deletions {
        let of = known.get(&deletion.data_file);
        let of = *of.ok_or_else(|| damaged("a deletion file of the slice hides rows of no file"))?;
        let Location::Inline(bytes) = &deletion.location else {
            return Err(Error::unsupported("the slice has deletion files outside its metastore"));
        };
        // An encoded deletion vector contains the id of its data file.
        let rows = state.files.iter().find(|new| new.file.id == of).map_or(0, |new| new.file.rows);
        let vector = DeletionVector::decode(bytes, deletion.data_file, rows)
            .map_err(|error| damaged("a deletion file of the slice cannot be read").because(error))?;
        if vector.len() != deletion.rows {
            return Err(damaged("a deletion file of the slice hides another number of rows than it says"));
        }
        deletion.location = Location::Inline(vector.encode(of));
        deletion.data_file = of;
        deletion.id = FileId::draw(ids);
    }
    state.tombstones.iter_mut().for_each(|file| file.id = FileId::draw(ids));
    Ok((names, state))
}

/// Checks that a data file has exactly the name that its id and its partition give it, so that no name leads out of the
/// slice.
fn require_name(new: &NewDataFile) -> Result<()> {
    if new.file.partition.len() > path::PARTITION_DEPTH_MAX {
        return Err(damaged("a data file of the slice is in more partitions than a table can have"));
    }
    match &new.file.location {
        Location::Path(name) if *name != path::data_file(new.file.id, &new.file.partition) => {
            Err(damaged("a data file of the slice has a name that no data file has").with("file", name))
        }
        _ => Ok(()),
    }
}

/// Checks that the statistics of a data file can be read, and are of no more columns than the table has.
fn require_statistics(new: &NewDataFile, columns: usize) -> Result<()> {
    let stats = &new.file.stats;
    if stats.column_count() > columns {
        return Err(damaged("a data file of the slice has statistics of other columns").with("file", new.file.id));
    }
    for column in 0..stats.column_count() {
        let found = stats.column(column)?;
        let without_value = found.null_count.unwrap_or_default().saturating_add(found.nan_count.unwrap_or_default());
        if without_value > new.file.rows {
            return Err(damaged("a data file of the slice has more nulls than rows").with("file", new.file.id));
        }
    }
    Ok(())
}

/// Checks that the deletion files of a data file hide no more rows than it has.
fn require_hidden(state: &TableState) -> Result<()> {
    let rows: HashMap<FileId, u64> = state.files.iter().map(|new| (new.file.id, new.file.rows)).collect();
    let mut hidden: HashMap<FileId, u64> = HashMap::new();
    for deletion in &state.deletions {
        let sum = hidden.entry(deletion.data_file).or_default();
        *sum = sum.saturating_add(deletion.rows);
        if rows.get(&deletion.data_file).is_none_or(|rows| *sum > *rows) {
            return Err(damaged("more rows of a data file are hidden than it has").with("file", deletion.data_file));
        }
    }
    Ok(())
}

/// Checks that every tombstone file can be read, and has the stated number of keys.
fn require_tombstones(state: &TableState, codec: Option<&KeyCodec>) -> Result<()> {
    for tombstones in &state.tombstones {
        let codec = codec.ok_or_else(|| damaged("the slice hides rows by a key that its table does not have"))?;
        // A tombstone file outside the metastore of the slice is refused because of its location.
        let Location::Inline(bytes) = &tombstones.location else { continue };
        let read = Tombstones::decode(bytes, codec)
            .map_err(|error| damaged("a tombstone file of the slice cannot be read").because(error))?;
        if read.len() as u64 != tombstones.keys {
            return Err(damaged("a tombstone file of the slice has another number of keys than it says"));
        }
    }
    Ok(())
}

fn require_rows(file: &FileId, expected: u64, found: u64) -> Result<()> {
    if expected == found {
        return Ok(());
    }
    Err(damaged("a data file of the slice has another number of rows than the slice says")
        .with("file", file)
        .with("expected", expected)
        .with("found", found))
}

fn missing(error: io::Error, name: &str) -> Error {
    damaged("a data file of the slice cannot be opened").with("file", name).because(error)
}

pub(crate) fn damaged(message: &'static str) -> Error {
    Error::new(ErrorKind::Corrupt, message).code("damaged-slice").help("export the slice again")
}

/// The block checksums of files that no metastore knows yet.
#[derive(Debug)]
struct KnownBlocks(HashMap<FileId, BlockChecksums>);

#[async_trait]
impl LoadBlocks for KnownBlocks {
    async fn load_blocks(&self, _: TableId, file: FileId) -> Result<BlockChecksums> {
        self.0.get(&file).cloned().ok_or_else(|| Error::not_found("no such data file").with("file", file))
    }
}
