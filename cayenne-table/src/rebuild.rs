//! Bringing back what the metastore has lost, from the manifests beside the data.
//!
//! Where the old metastore cannot be read, or not all of it, it is made anew. What it still tells whole is written as
//! manifests first, and then all tables come from manifests: so breaking off anywhere and beginning again comes to the
//! same. The new file is made in a folder of its own; the old one is moved aside, and the new one put in its place last.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cayenne_format::{
    CommitId, Environment, Error, ErrorKind, Location, Manifest, Result, Sequence, TableCommit, TableId, TableName,
    TableState, Timestamp, WriterEpoch, path,
};
use cayenne_metastore::{Beginning, Metastore, NewTable, Restored, TableRecord};
use cayenne_storage::{FileLock, Fs, Storage};

use crate::aside::Aside;
use crate::manifest::{self, FoundManifest};
use crate::writer::{lock, locked, this_process};
use crate::{Access, DatabaseBuilder, DatabaseSettings, backend, state};

/// The folder, in the metadata folder, in which the new metastore is made.
const BEING_MADE: &str = "rebuilding";

/// Its name there as long as it is not complete; then it has the one that it will have in its place.
const INCOMPLETE: &str = "metastore.partial";

/// What a table was brought back from, or would be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecoveredFrom {
    /// What the metastore says of it, which is whole.
    Metastore,
    /// The manifests beside its data.
    Manifest,
    /// Nothing: it is not brought back, and its folder stays as it is.
    Nothing,
}

/// A table after a recovery from manifests.
#[derive(Clone, Debug)]
pub struct RecoveredTable {
    /// Its name, where anything tells it.
    pub name: Option<TableName>,
    /// Its folder, relative to the data folder.
    pub location: String,
    /// Where what it is was taken from.
    pub from: RecoveredFrom,
    /// The sequence it is at. What was committed after a manifest is lost.
    pub sequence: Sequence,
    /// When the manifest was written.
    pub written_at: Option<Timestamp>,
    /// The number of rows, hidden ones included.
    pub rows: u64,
    /// The number of data files, inline ones included.
    pub files: usize,
    /// What is wrong: manifests that could not be used, data files that are missing or have another length.
    pub problems: Vec<Error>,
}

/// What a recovery from manifests did, or would do.
#[derive(Clone, Debug)]
pub struct RecoveredDatabase {
    /// The tables, ordered by name.
    pub tables: Vec<RecoveredTable>,
    /// Whether anything had to be done.
    pub was_needed: bool,
    /// Where the old metastore is now, if it had to be replaced and there was one.
    pub aside: Option<PathBuf>,
}

impl DatabaseBuilder {
    /// Brings back what the metastore has lost, from the manifests beside the data; if `dry_run`, says what that would be.
    ///
    /// A table comes back as its latest manifest tells it, under its own sequence; snapshots before that cannot be opened
    /// any more. If the metastore can be read, only what it does not know, or knows of an earlier moment than a manifest,
    /// is brought back. If not, or not all of it, it is moved aside and made anew, with all tables. A metastore without
    /// damage stays as it is. Nothing is deleted.
    ///
    /// # Errors
    ///
    /// `NotFound` (code `no-database`) if there is no data folder; `Unavailable` (code `table-locked`) if a process writes
    /// one of the tables; `Unsupported` for a metastore of a newer version; what the disk says. Doing it again goes on
    /// where it was broken off.
    pub async fn recover_from_manifests(self, dry_run: bool) -> Result<RecoveredDatabase> {
        let storage = self.storage();
        let rebuild = Rebuild {
            root: self.root,
            fs: self.fs,
            environment: self.environment,
            settings: self.settings,
            storage,
            locks: Vec::new(),
        };
        rebuild.run(dry_run).await
    }
}

/// What a recovery works with. The locks of all tables are held as long as it lasts.
struct Rebuild {
    root: PathBuf,
    fs: Arc<dyn Fs>,
    environment: Environment,
    settings: DatabaseSettings,
    storage: Storage,
    locks: Vec<FileLock>,
}

/// What the old metastore tells.
#[derive(Default)]
struct Old {
    /// Whether all of it could be read.
    is_whole: bool,
    records: BTreeMap<TableId, TableRecord>,
    /// What each table is that it tells whole.
    told: BTreeMap<TableId, Told>,
}

struct Told {
    state: TableState,
    staged: Vec<TableCommit>,
}

/// A table that is to be.
struct Plan {
    id: TableId,
    location: String,
    from: RecoveredFrom,
    manifest: Option<Manifest>,
    /// The table of the old metastore in whose place it comes.
    replaces: Option<WriterEpoch>,
    staged: Vec<TableCommit>,
    problems: Vec<Error>,
}

impl Rebuild {
    async fn run(mut self, dry_run: bool) -> Result<RecoveredDatabase> {
        self.require_data()?;
        let folders = self.storage.table_folders().await?;
        let (mut was_unfinished, mut moved) = (false, None);
        if !dry_run {
            self.lock_all(folders.iter().map(|(_, id)| *id))?;
            (was_unfinished, moved) = self.finish()?;
        }
        let old = self.read_old().await?;
        let mut plans = self.plan(&old, folders).await?;
        refuse_second_names(&mut plans);
        self.look_for_files(&mut plans);
        let is_new = |plan: &Plan| plan.from == RecoveredFrom::Manifest;
        let is_unfinished = !old.is_whole || plans.iter().any(is_new);
        let aside = match (dry_run || !is_unfinished, old.is_whole) {
            (true, _) => None,
            (false, true) => self.add(plans.iter().filter(|plan| is_new(plan))).await.map(|()| None)?,
            (false, false) => self.make_anew(&plans).await?,
        };
        let mut tables: Vec<_> = plans.into_iter().map(Plan::report).collect();
        tables.sort_by(|one, other| (&one.name, &one.location).cmp(&(&other.name, &other.location)));
        let was_needed = is_unfinished || was_unfinished;
        Ok(RecoveredDatabase { tables, was_needed, aside: aside.or(moved) })
    }

    /// Puts a new metastore in its place that an earlier recovery has made, and was broken off before. What was staged is
    /// told by that one alone. Returns whether there was one, and where what was still to be moved of the old one is now.
    fn finish(&self) -> Result<(bool, Option<PathBuf>)> {
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

    fn require_data(&self) -> Result<()> {
        match self.fs.list(&self.root.join(path::DATA_FOLDER)) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Error::not_found("there is no database here")
                .code("no-database")
                .with("database", self.root.display())
                .help("the folder of a database has a folder 'data'")),
            Err(error) => Err(cannot(error, &self.root)),
        }
    }

    fn metadata(&self) -> PathBuf {
        self.root.join(path::METADATA_FOLDER)
    }

    /// Takes the locks of all tables, so that no process writes any.
    fn lock_all(&mut self, tables: impl Iterator<Item = TableId>) -> Result<()> {
        let metadata = self.metadata();
        self.fs.create_dir_all(&metadata).map_err(|error| cannot(error, &metadata))?;
        for table in tables {
            let at = metadata.join(path::lock_file(table));
            match lock(self.fs.as_ref(), &at)? {
                Some(lock) => self.locks.push(lock),
                None => return Err(locked(&at).with("table", table)),
            }
        }
        Ok(())
    }

    /// Reads what can be read of the metastore, and changes nothing in it.
    async fn read_old(&self) -> Result<Old> {
        let opened = backend::open(&self.root, Access::ReadOnly, &self.settings, &self.environment).await;
        let metastore = match opened {
            Ok(metastore) => metastore,
            Err(error) if is_destroyed(&error) => return Ok(Old::default()),
            Err(error) => return Err(error),
        };
        let old = self.read_tables(metastore.as_ref()).await;
        metastore.close().await?;
        old
    }

    async fn read_tables(&self, metastore: &dyn Metastore) -> Result<Old> {
        let records = match metastore.list_tables().await {
            Ok(records) => records,
            Err(error) if is_destroyed(&error) => return Ok(Old::default()),
            Err(error) => return Err(error),
        };
        let mut old = Old { is_whole: true, ..Old::default() };
        for record in records {
            match read_table(metastore, record.id).await {
                Ok(told) => drop(old.told.insert(record.id, told)),
                Err(error) if is_destroyed(&error) => old.is_whole = false,
                Err(error) => return Err(error),
            }
            old.records.insert(record.id, record);
        }
        Ok(old)
    }

    async fn plan(&self, old: &Old, folders: Vec<(String, TableId)>) -> Result<Vec<Plan>> {
        let mut locations: BTreeMap<TableId, String> =
            old.records.values().map(|record| (record.id, record.location.clone())).collect();
        locations.extend(folders.into_iter().map(|(location, id)| (id, location)));
        let mut plans = Vec::new();
        for (id, location) in locations {
            let found = manifest::latest(&self.storage, &location, id).await?;
            // Where the metastore knows all, a folder that nobody knows is a left-over, which `collect` removes.
            if old.is_whole && !old.records.contains_key(&id) && found.manifest.is_none() && found.damaged.is_empty() {
                continue;
            }
            plans.push(self.plan_table(old, id, location, found));
        }
        Ok(plans)
    }

    fn plan_table(&self, old: &Old, id: TableId, location: String, found: FoundManifest) -> Plan {
        let mut problems: Vec<Error> = found.damaged.into_iter().map(|damaged| damaged.error).collect();
        let (record, told) = (old.records.get(&id), old.told.get(&id));
        let manifest = found.manifest;
        let known = record.zip(told).filter(|(_, told)| {
            // A manifest that is later than the metastore: an old copy of that was put back.
            manifest.as_ref().is_none_or(|manifest| manifest.state.sequence <= told.state.sequence)
        });
        let replaces = record.filter(|_| old.is_whole).map(|record| record.epoch);
        if let Some((record, told)) = known {
            let manifest = Some(self.manifest(record, told));
            let staged = told.staged.clone();
            return Plan { id, location, from: RecoveredFrom::Metastore, manifest, replaces, staged, problems };
        }
        let from = if manifest.is_some() { RecoveredFrom::Manifest } else { RecoveredFrom::Nothing };
        if manifest.is_none() {
            problems.push(Error::not_found("no manifest tells what the table was").code("no-manifest"));
        }
        Plan { id, location, from, manifest, replaces, staged: Vec::new(), problems }
    }

    fn manifest(&self, record: &TableRecord, told: &Told) -> Manifest {
        Manifest {
            table: record.id,
            name: record.name.clone(),
            schema: Arc::clone(&record.schema),
            options: record.options.clone(),
            made_at: record.made_at,
            written_at: self.environment.clock.now(),
            since: Sequence::ZERO,
            removed: Vec::new(),
            state: told.state.clone(),
        }
    }

    /// Notes the data files that are not there, or not as long as they were.
    fn look_for_files(&self, plans: &mut [Plan]) {
        for plan in plans {
            for new in plan.manifest.iter().flat_map(|manifest| &manifest.state.files) {
                if let Location::Path(name) = &new.file.location {
                    let checked = self.storage.check_length(&plan.location, name, new.file.bytes);
                    plan.problems.extend(checked.err());
                }
            }
        }
    }

    /// Brings tables back into a metastore that is otherwise whole.
    async fn add(&self, plans: impl Iterator<Item = &Plan>) -> Result<()> {
        let metastore = backend::open(&self.root, Access::ReadWrite, &self.settings, &self.environment).await?;
        let mut added = Ok(());
        for plan in plans {
            added = self.create(metastore.as_ref(), plan, plan.replaces.map(|epoch| (plan.id, epoch))).await;
            if added.is_err() {
                break;
            }
        }
        let closed = metastore.close().await;
        added.and(closed)
    }

    /// Makes the metastore anew, and returns where the old one is now.
    async fn make_anew(&self, plans: &[Plan]) -> Result<Option<PathBuf>> {
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

    async fn create(
        &self,
        metastore: &dyn Metastore,
        plan: &Plan,
        replaces: Option<(TableId, WriterEpoch)>,
    ) -> Result<()> {
        let Some(manifest) = &plan.manifest else { return Ok(()) };
        let restored = Restored {
            commit: CommitId::draw(self.environment.ids.as_ref()),
            made_at: self.environment.clock.now(),
            state: manifest.state.clone(),
        };
        let new = NewTable {
            id: plan.id,
            name: manifest.name.clone(),
            location: plan.location.clone(),
            schema: Arc::clone(&manifest.schema),
            options: manifest.options.clone(),
            made_at: manifest.made_at,
            begins: Beginning::Restored(Box::new(restored)),
            replaces,
        };
        let named = |error: Error| error.with("table", &manifest.name);
        metastore.create_table(&new).await.map_err(named)?;
        if plan.staged.is_empty() {
            return Ok(());
        }
        let epoch = metastore.begin_writer(plan.id, &this_process(&self.environment)).await?;
        for staged in &plan.staged {
            metastore.stage(&TableCommit { epoch, ..staged.clone() }).await.map_err(named)?;
        }
        Ok(())
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

async fn read_table(metastore: &dyn Metastore, table: TableId) -> Result<Told> {
    let state = state::load(metastore, table).await?;
    metastore.load_log(table).await?;
    let staged = metastore.load_staged(table).await?;
    // One that cannot be read could not be published either.
    Ok(Told { state, staged: staged.into_iter().filter_map(|staged| staged.commit.ok()).collect() })
}

/// Of two tables with one name, that stays which the metastore tells, or of which the later manifest is.
fn refuse_second_names(plans: &mut [Plan]) {
    plans.sort_by_key(|plan| {
        let written_at = plan.manifest.as_ref().map(|manifest| manifest.written_at);
        (plan.from != RecoveredFrom::Metastore, std::cmp::Reverse(written_at))
    });
    let mut taken = BTreeSet::new();
    for plan in plans {
        let Some(name) = plan.manifest.as_ref().map(|manifest| manifest.name.clone()) else { continue };
        if !taken.insert(name.clone()) {
            plan.manifest = None;
            plan.from = RecoveredFrom::Nothing;
            plan.problems
                .push(Error::already_exists("another table has its name").code("table-exists").with("table", name));
        }
    }
}

impl Plan {
    fn report(self) -> RecoveredTable {
        let Self { location, from, manifest, problems, .. } = self;
        let state = manifest.as_ref().map(|manifest| &manifest.state);
        RecoveredTable {
            name: manifest.as_ref().map(|manifest| manifest.name.clone()),
            location,
            from,
            sequence: state.map(|state| state.sequence).unwrap_or_default(),
            written_at: manifest
                .as_ref()
                .filter(|_| from == RecoveredFrom::Manifest)
                .map(|manifest| manifest.written_at),
            rows: state.map_or(0, |state| state.files.iter().fold(0, |rows, new| new.file.rows.saturating_add(rows))),
            files: state.map_or(0, |state| state.files.len()),
            problems,
        }
    }
}

/// Says whether what cannot be read was destroyed, and is not merely of another version, busy or forbidden.
fn is_destroyed(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::NotFound) || error.stable_code() == "foreign-metastore"
}

fn cannot(error: io::Error, at: &Path) -> Error {
    Error::io("the database cannot be recovered", error).with("path", at.display())
}
