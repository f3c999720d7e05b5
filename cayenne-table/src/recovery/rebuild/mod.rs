//! Recovery from manifests: brings back what the metastore has lost, from the manifests next to the data.
//!
//! If the old metastore cannot be read completely, it is rebuilt. First, the tables that it still tells completely are
//! written as manifests; then all tables are created from manifests. So a recovery can be broken off anywhere and begun
//! again, with the same result. The new metastore is built in a folder of its own. The old one is moved aside, and the
//! new one is moved into place last.

mod anew;
mod old;
mod plan;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cayenne_format::{
    CommitId, Environment, Error, Result, Sequence, TableCommit, TableId, TableName, Timestamp, WriterEpoch, path,
};
use cayenne_metastore::{Beginning, Metastore, NewTable, Restored};
use cayenne_storage::{FileLock, Fs, Storage};

use self::plan::{Plan, refuse_second_names};
use crate::handle::backend;
use crate::write::writer::{lock, locked, this_process};
use crate::{Access, DatabaseBuilder, DatabaseSettings};

/// What a table was brought back from, or would be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecoveredFrom {
    /// The metastore, whose records of the table are whole.
    Metastore,
    /// The manifests beside its data.
    Manifest,
    /// Nothing: it is not brought back, and its folder stays as it is.
    Nothing,
}

/// A table after a recovery from manifests.
#[derive(Clone, Debug)]
pub struct RecoveredTable {
    /// Its name, if it is known.
    pub name: Option<TableName>,
    /// Its folder, relative to the data folder.
    pub location: String,
    /// The source of its state.
    pub from: RecoveredFrom,
    /// The sequence of its state. Commits after a manifest are lost.
    pub sequence: Sequence,
    /// When the manifest was written, if the table comes from one.
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
    /// The views, ordered by name. Manifests do not have them: if the metastore can no longer tell the views, they are
    /// lost.
    pub views: Vec<TableName>,
    /// Whether anything had to be done.
    pub was_needed: bool,
    /// The folder that the old metastore was moved to, if it had to be replaced and there was one.
    pub aside: Option<PathBuf>,
}

impl DatabaseBuilder {
    /// Brings back what the metastore has lost, from the manifests next to the data. If `dry_run` is true, only returns
    /// what that would be.
    ///
    /// A table comes back in the state and with the sequence of its latest manifest; earlier snapshots can no longer be
    /// opened. If the metastore can be read completely, only those tables are brought back that it does not know, or
    /// knows in an earlier state than a manifest. Otherwise it is moved aside and rebuilt, with all tables. A metastore
    /// without damage is not replaced. Nothing is deleted.
    ///
    /// # Errors
    ///
    /// `NotFound` (code `no-database`) if there is no data folder; `Unavailable` (code `table-locked`) if a process
    /// writes one of the tables; `Unsupported` for a metastore of a newer version; what the file system returns. After
    /// an error, another call continues where this one was broken off.
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

/// The state of a recovery. The locks of all tables are held until it ends, unless it is a dry run.
struct Rebuild {
    root: PathBuf,
    fs: Arc<dyn Fs>,
    environment: Environment,
    settings: DatabaseSettings,
    storage: Storage,
    locks: Vec<FileLock>,
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
        let old = self.read_old(&folders).await?;
        let mut plans = self.plan(&old, folders).await?;
        refuse_second_names(&mut plans);
        self.look_for_files(&mut plans).await;
        let is_new = |plan: &Plan| plan.from == RecoveredFrom::Manifest;
        let is_unfinished = !old.is_whole || plans.iter().any(is_new);
        let aside = match (dry_run || !is_unfinished, old.is_whole) {
            (true, _) => None,
            (false, true) => self.add(plans.iter().filter(|plan| is_new(plan))).await.map(|()| None)?,
            (false, false) => self.make_anew(&plans, &old.views).await?,
        };
        let mut tables: Vec<_> = plans.into_iter().map(Plan::report).collect();
        tables.sort_by(|one, other| (&one.name, &one.location).cmp(&(&other.name, &other.location)));
        let was_needed = is_unfinished || was_unfinished;
        let views = old.views.into_iter().map(|view| view.name).collect();
        Ok(RecoveredDatabase { tables, views, was_needed, aside: aside.or(moved) })
    }

    fn require_data(&self) -> Result<()> {
        match self.fs.list(&self.root.join(path::DATA_FOLDER)) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(Error::not_found("there is no database in this folder")
                    .code("no-database")
                    .with("database", self.root.display())
                    .help("the folder of a database has a folder 'data'"))
            }
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
}

fn cannot(error: io::Error, at: &Path) -> Error {
    Error::io("the database cannot be recovered", error).with("path", at.display())
}
