//! A database: a folder with a metastore and the tables that the metastore names.

use crate::Access;
use crate::DatabaseSettings;
use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cayenne_format::{Environment, Error, ErrorKind, Result, TableId, TableName, path};
use cayenne_metastore::{Metastore, TableKey, TableRecord};
use cayenne_storage::{Fs, LocalFs, Storage};
use datafusion_execution::memory_pool::{MemoryPool, UnboundedMemoryPool};
use parking_lot::Mutex;

use crate::handle::backend;
use crate::handle::shared::Shared;
use crate::state::hidden_rows::HiddenCache;
use crate::state::key_indexes::KeyIndexCache;
use crate::state::maintenance::Maintenance;
use crate::view::readers::ReaderRegistry;
use crate::{Table, View};

/// Upper limit on how long a pin lingers after the last reader of its snapshot has finished; it never lingers longer
/// than the poll interval. A lingering pin keeps files that no reader needs, so the limit is short. It is longer than
/// the pause between two queries of a busy reader.
const LINGER_MAX: Duration = Duration::from_secs(1);

/// The help for a metastore that is damaged or missing.
const HOW_TO_RECOVER: &str =
    "put the metadata folder back from a copy, or have it made anew: cayenne recover --from-manifest";

/// Configures and opens a [`Database`].
pub struct DatabaseBuilder {
    pub(crate) root: PathBuf,
    access: Access,
    pub(crate) settings: DatabaseSettings,
    pub(crate) environment: Environment,
    pub(crate) fs: Arc<dyn Fs>,
    memory: Arc<dyn MemoryPool>,
    compaction_memory: Option<Arc<dyn MemoryPool>>,
    metastore: Option<Arc<dyn Metastore>>,
}

impl DatabaseBuilder {
    /// Sets what this process may do. Default [`Access::ReadWrite`].
    #[must_use]
    pub fn access(mut self, access: Access) -> Self {
        self.access = access;
        self
    }

    /// Sets the settings of this process.
    #[must_use]
    pub fn settings(mut self, settings: DatabaseSettings) -> Self {
        self.settings = settings;
        self
    }

    /// Sets the clock, the ids and the steps.
    #[must_use]
    pub fn environment(mut self, environment: Environment) -> Self {
        self.environment = environment;
        self
    }

    /// Sets the file system.
    #[must_use]
    pub fn fs(mut self, fs: Arc<dyn Fs>) -> Self {
        self.fs = fs;
        self
    }

    /// Sets the memory pool that the buffers of writes and reads are charged to. Default: unlimited.
    #[must_use]
    pub fn memory(mut self, memory: Arc<dyn MemoryPool>) -> Self {
        self.memory = memory;
        self
    }

    /// Sets the memory pool that compaction passes are charged to. With a pool of its own, compaction neither takes the
    /// memory that queries and writes need nor waits for it. Default: the pool of [`memory`](Self::memory).
    /// [`compaction_memory`](crate::compaction_memory) computes the share of compaction in a common limit.
    #[must_use]
    pub fn compaction_memory(mut self, memory: Arc<dyn MemoryPool>) -> Self {
        self.compaction_memory = Some(memory);
        self
    }

    /// Sets a metastore to use in place of the metastore file of the database.
    #[must_use]
    pub fn metastore(mut self, metastore: Arc<dyn Metastore>) -> Self {
        self.metastore = Some(metastore);
        self
    }

    /// Opens the database. Creates it if it does not exist and the access is [`Access::ReadWrite`].
    ///
    /// # Errors
    ///
    /// `NotFound` if the database does not exist and is opened read-only; `Invalid` if the path is a file or is not
    /// writable; `Unsupported` (code `newer-metastore`) if a newer version created it; `Corrupt` if its metastore is
    /// damaged, or is missing although table folders exist (code `metastore-missing`).
    pub async fn open(self) -> Result<Arc<Database>> {
        let storage = self.storage();
        if self.metastore.is_none() {
            self.require_metastore(&storage).await?;
        }
        self.prepare_folders().map_err(|error| error.with("database", self.root.display()))?;
        let metastore = match &self.metastore {
            Some(metastore) => Arc::clone(metastore),
            None => self.open_metastore().await?,
        };
        let readers = self.root.join(path::METADATA_FOLDER).join(path::READERS_FOLDER);
        let linger = self.settings.poll_interval.min(LINGER_MAX);
        let readers = ReaderRegistry::new(Arc::clone(&self.fs), readers, Arc::clone(&self.environment.ids), linger);
        let shared = Shared {
            readers: Arc::new(readers),
            root: self.root,
            access: self.access,
            metastore,
            storage,
            fs: self.fs,
            environment: self.environment,
            hidden: HiddenCache::new(self.settings.deletion_cache_bytes),
            key_indexes: KeyIndexCache::new(self.settings.key_index_cache_bytes),
            maintenance: Maintenance::new(self.settings.has_upkeep),
            compaction_memory: self.compaction_memory.unwrap_or(self.memory),
            settings: self.settings,
        };
        Ok(Arc::new(Database { shared: Arc::new(shared), tables: Arc::default() }))
    }

    pub(crate) fn storage(&self) -> Storage {
        Storage::new(
            self.root.join(path::DATA_FOLDER),
            Arc::clone(&self.fs),
            self.environment.clone(),
            Arc::clone(&self.memory),
            self.settings.storage.clone(),
        )
    }

    /// Returns an error where the metastore must not be created: another backend has created the database, or the
    /// metastore is missing although table folders exist. Runs before anything is created.
    async fn require_metastore(&self, storage: &Storage) -> Result<()> {
        let metadata = self.root.join(path::METADATA_FOLDER);
        backend::refuse_other(&metadata, self.settings.backend)?;
        let name = self.settings.backend.file();
        // Check again after listing the folders: a process that creates a database creates the metastore before the
        // first table.
        if self.is_missing(&metadata, name)
            && let Some((folder, _)) = storage.table_folders().await?.first()
            && self.is_missing(&metadata, name)
        {
            return Err(Error::corrupt("the metastore is missing, but table folders exist")
                .code("metastore-missing")
                .with("metastore", metadata.join(name).display())
                .with("folder", folder)
                .help(HOW_TO_RECOVER));
        }
        Ok(())
    }

    async fn open_metastore(&self) -> Result<Arc<dyn Metastore>> {
        let opened = backend::open(&self.root, self.access, &self.settings, &self.environment).await;
        opened.map_err(|error| match (error.kind(), error.way_to_mend()) {
            (ErrorKind::Corrupt, None) => error.help(HOW_TO_RECOVER),
            _ => error,
        })
    }

    /// Returns whether a file is missing or empty. It lists the folder instead of opening the file: closing a file
    /// drops every lock that this process has on it, those of SQLite included.
    fn is_missing(&self, folder: &Path, file: &str) -> bool {
        match self.fs.list(folder) {
            Ok(entries) => !entries.iter().any(|entry| entry.name == file && (entry.bytes > 0 || entry.is_dir)),
            Err(error) => error.kind() == std::io::ErrorKind::NotFound,
        }
    }

    fn prepare_folders(&self) -> Result<()> {
        let metadata = self.root.join(path::METADATA_FOLDER);
        if self.access == Access::ReadOnly {
            return match self.fs.list(&metadata) {
                Ok(_) => Ok(()),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    Err(Error::not_found("there is no database in this folder").code("no-database"))
                }
                Err(error) => Err(cannot_open(error)),
            };
        }
        for folder in [&metadata, &self.root.join(path::DATA_FOLDER)] {
            self.fs.create_dir_all(folder).map_err(cannot_open)?;
        }
        self.fs.sync_dir(&self.root).map_err(cannot_open)?;
        // The directory entry of a new root is in its parent folder.
        let above = self.root.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
        self.fs.sync_dir(above).map_err(cannot_open)
    }
}

fn cannot_open(error: std::io::Error) -> Error {
    let is_file = matches!(error.kind(), std::io::ErrorKind::NotADirectory | std::io::ErrorKind::AlreadyExists);
    let made = Error::io("cannot open the database", error);
    if is_file { made.help("the path, or a part of it, is a file: a database is a folder") } else { made }
}

/// An open database. It hands out one shared handle per table.
pub struct Database {
    pub(crate) shared: Arc<Shared>,
    pub(crate) tables: Arc<Mutex<Handles>>,
}

/// The table handles that a database has handed out.
#[derive(Default)]
pub(crate) struct Handles {
    open: HashMap<TableId, Arc<Table>>,
    /// The open table that had each name at the last metastore lookup.
    names: HashMap<TableName, TableId>,
    /// Dropped tables that may still have readers in this process. Their files stay until the last reader has finished.
    dropped: HashMap<TableId, Arc<Table>>,
}

impl Handles {
    /// Returns the handle that had this name at the last metastore lookup.
    fn named(&self, name: &TableName) -> Option<&Arc<Table>> {
        self.open.get(self.names.get(name)?)
    }

    /// Returns the open handle of the table of `record`, if there is one, and notes its current name.
    fn of_record(&mut self, record: &TableRecord) -> Option<Arc<Table>> {
        let table = self.open.get(&record.id)?;
        self.names.insert(record.name.clone(), record.id);
        Some(Arc::clone(table))
    }

    /// Adds a handle and returns the shared one: an earlier handle of the same table takes precedence.
    fn add(&mut self, table: Arc<Table>) -> Arc<Table> {
        self.names.insert(table.name().clone(), table.id());
        Arc::clone(self.open.entry(table.id()).or_insert(table))
    }

    pub(crate) fn every_open(&self) -> Vec<Arc<Table>> {
        self.open.values().cloned().collect()
    }

    /// Stops handing out a dropped table.
    pub(crate) fn forget(&mut self, table: &Arc<Table>) {
        self.open.remove(&table.id());
        if self.names.get(table.name()) == Some(&table.id()) {
            self.names.remove(table.name());
        }
        self.dropped.insert(table.id(), Arc::clone(table));
    }

    /// Returns whether a dropped table still has readers in this process. Releases its handle if not.
    pub(crate) fn is_still_read(&mut self, id: TableId) -> bool {
        let read = self.dropped.get(&id).is_some_and(|table| !table.pins.close());
        if !read {
            self.dropped.remove(&id);
        }
        read
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shared { root, access, .. } = self.shared.as_ref();
        f.debug_struct("Database").field("root", root).field("access", access).finish_non_exhaustive()
    }
}

impl Database {
    /// Returns a builder that opens the database in the folder `root`.
    #[must_use]
    pub fn builder(root: impl Into<PathBuf>) -> DatabaseBuilder {
        DatabaseBuilder {
            root: root.into(),
            access: Access::default(),
            settings: DatabaseSettings::default(),
            environment: Environment::default(),
            fs: Arc::new(LocalFs),
            memory: Arc::new(UnboundedMemoryPool::default()),
            compaction_memory: None,
            metastore: None,
        }
    }

    /// Returns the folder of the database.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.shared.root
    }

    /// Returns what this process may do.
    #[must_use]
    pub fn access(&self) -> Access {
        self.shared.access
    }

    /// Returns the storage that holds the files of the database.
    #[must_use]
    pub fn storage(&self) -> &Storage {
        &self.shared.storage
    }

    /// Returns the settings.
    #[must_use]
    pub fn settings(&self) -> &DatabaseSettings {
        &self.shared.settings
    }

    /// Returns the memory that the key index cache and the deletion cache take, in bytes and in this order.
    #[must_use]
    pub fn row_cache_bytes(&self) -> (u64, u64) {
        (self.shared.key_indexes.bytes(), self.shared.hidden.bytes())
    }

    /// Returns the records of all tables, ordered by name.
    ///
    /// # Errors
    ///
    /// What the metastore returns.
    pub async fn tables(&self) -> Result<Vec<TableRecord>> {
        self.shared.metastore.list_tables().await
    }

    /// Returns the handle of a table, or `None` if there is no table of this name.
    ///
    /// The metastore is not queried for a table that this process writes. It is not queried either if this process has
    /// looked for a newer snapshot at most a [`poll_interval`](DatabaseSettings::poll_interval) ago and still has the
    /// current one pinned. In that case, a drop by another process is noticed as late as other changes. A table that
    /// another process has created is found at once.
    ///
    /// # Errors
    ///
    /// What the metastore returns.
    pub async fn table(&self, name: &TableName) -> Result<Option<Arc<Table>>> {
        if let Some(table) = self.known(name) {
            return Ok(Some(table));
        }
        match self.find_record(name).await? {
            Some(record) => Ok(Some(self.open_table(record).await?)),
            None => Ok(None),
        }
    }

    /// Returns the handle of a table that can be used without a metastore query.
    fn known(&self, name: &TableName) -> Option<Arc<Table>> {
        let known = self.tables.lock().named(name).map(Arc::clone);
        known.filter(|table| table.is_current())
    }

    pub(crate) async fn find_record(&self, name: &TableName) -> Result<Option<TableRecord>> {
        self.shared.metastore.find_table(&TableKey::Name(name.clone())).await
    }

    pub(crate) async fn open_table(&self, record: TableRecord) -> Result<Arc<Table>> {
        if let Some(table) = self.tables.lock().of_record(&record) {
            return Ok(table);
        }
        self.refuse_foreign_folder(&record).await?;
        let snapshot = self.shared.metastore.load_snapshot(record.id, None).await?;
        let view = View::new(snapshot, Arc::clone(&record.schema));
        let table = Arc::new(Table::new(record, Arc::clone(&self.shared), view)?);
        // Two callers may race here; the handle that was added first is shared by both.
        Ok(self.tables.lock().add(table))
    }

    async fn refuse_foreign_folder(&self, record: &TableRecord) -> Result<()> {
        match self.shared.storage.check_table_folder(&record.location, record.id).await {
            Err(error) if forbids_opening(&error) => Err(error.with("name", &record.name)),
            _ => Ok(()),
        }
    }

    /// Closes the database: waits for background work to end, flushes included, writes the manifests of changed tables,
    /// gives up the right to write, and closes the metastore.
    ///
    /// # Errors
    ///
    /// What the metastore returns.
    pub async fn close(&self) -> Result<()> {
        self.tables.lock().names.clear();
        self.shared.maintenance.close();
        let tables: Vec<_> = self.tables.lock().open.drain().map(|(_, table)| table).collect();
        for table in tables {
            // The upkeep thread may be about to begin work on this table; closing its slots prevents that.
            table.flushing.close().await;
            table.compacting.close().await;
            table.writing_manifest.close().await;
            table.write_manifest_or_warn().await;
            table.release().await;
        }
        self.shared.readers.close();
        self.shared.metastore.close().await
    }
}

/// Returns whether a problem with the marker of a table prevents opening the table: the marker belongs to another
/// table, or is of a newer version. Two tables never share a folder. Without a readable marker, the rows can still be
/// read.
pub(crate) fn forbids_opening(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Invalid | ErrorKind::Unsupported)
}
