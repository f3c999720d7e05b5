//! Being the one writer of a table: an OS lock, which tells who is alive, and an epoch, which fences who is not.

use crate::state::writer::WriterGuard;
use crate::state::writer::WriterState;
use std::path::Path;

use cayenne_format::{Environment, Error, ErrorKind, Expiry, Result, Sequence};
use cayenne_metastore::{TableKey, Writer};
use cayenne_storage::{FileLock, Fs};
use tokio::sync::MutexGuard;

use crate::Table;
use crate::handle::shared::Shared;
use crate::state::manifested::Manifested;

impl Table {
    /// Waits for its turn to commit, and makes this process the writer if it is not yet.
    pub(crate) async fn writer(&self) -> Result<WriterGuard<'_>> {
        self.shared.writable()?;
        let mut writer = self.writer.lock().await;
        self.require_known()?;
        if writer.is_none() {
            *writer = Some(self.become_writer().await?);
        }
        MutexGuard::try_map(writer, Option::as_mut).map_err(|_| Error::internal("a writer has no state"))
    }

    /// Refuses a table that this process has dropped.
    pub(crate) fn require_known(&self) -> Result<()> {
        if self.pins.is_closed() { Err(self.was_dropped()) } else { Ok(()) }
    }

    /// Makes this process the writer if it is not yet, and asks the metastore whether it still is: one that was fenced
    /// does not know of it before its next commit, and files that it does not know are the next writer's.
    pub(crate) async fn require_latest_writer(&self) -> Result<()> {
        let nothing = Expiry { keep_from: Sequence::ZERO, forget_before: Sequence::ZERO };
        let writer = self.writer().await?;
        self.shared.metastore.expire(self.id(), writer.epoch, &nothing).await
    }

    /// Says whether this process is the writer: then the view is the truth, and no one needs to ask the metastore.
    pub(crate) fn is_writer(&self) -> bool {
        self.pins.is_writer()
    }

    async fn become_writer(&self) -> Result<WriterState> {
        let Some(lock) = self.shared.lock(self.id())? else {
            return Err(self.locked_by_another().await);
        };
        let metastore = &self.shared.metastore;
        let begun = metastore.begin_writer(self.id(), &this_process(&self.shared.environment)).await;
        let epoch = begun.map_err(|error| match error.kind() {
            ErrorKind::NotFound => {
                // Ids are never used again: nobody else will ask for this lock.
                self.shared.fs.remove_file(&self.shared.lock_path(self.id())).ok();
                self.was_dropped()
            }
            _ => error,
        })?;
        // Before anything is committed: what is staged would take the sequences of manifests of another history.
        self.move_later_manifests_aside(self.latest_sequence().await?).await?;
        self.recover_staged(epoch).await?;
        // The lock is held: what the metastore says now is what stays true until this process changes it.
        self.reload().await?;
        let record = metastore.find_table(&TableKey::Id(self.id())).await?.ok_or_else(|| self.was_dropped())?;
        let sources = metastore.load_sources(self.id()).await?;
        // What changes from here on is what the next manifest says, if the last one says what the table is now.
        let found = || Manifested { view: self.view.load_full(), sources: sources.clone(), is_told: false };
        self.manifested.lock().get_or_insert_with(found);
        let sources = sources.into_iter().map(|source| (source.stream, source.position)).collect();
        self.pins.set_writer(true);
        let (history, moved_since) = (record.history, record.sequence);
        Ok(WriterState { epoch, history, sources, moved: Vec::new(), moved_since, _lock: lock })
    }

    async fn locked_by_another(&self) -> Error {
        let error = locked(&self.shared.lock_path(self.id())).with("table", self.name());
        let record = self.shared.metastore.find_table(&TableKey::Id(self.id())).await.unwrap_or_default();
        match record.and_then(|record| Some((record.writer?, record.epoch))) {
            Some((writer, epoch)) => {
                let since = writer.since;
                error.with("writer", writer).with("since", since).with("epoch", epoch)
            }
            None => error,
        }
    }

    /// Lets reads ask the metastore again. The epoch that was lost stays: every further commit is refused.
    pub(crate) fn lose_the_truth(&self) {
        self.pins.set_writer(false);
    }

    /// Gives up the right to write, if this process has it.
    pub(crate) async fn release(&self) {
        let mut writer = self.writer.lock().await;
        if writer.is_none() {
            return;
        }
        // The next writer has to know what is read here, before it can be one.
        self.pins.set_writer(false);
        *writer = None;
    }
}

impl Shared {
    /// Takes the OS lock of a table, or returns `None` if another process has it.
    pub(crate) fn lock(&self, table: cayenne_format::TableId) -> Result<Option<FileLock>> {
        lock(self.fs.as_ref(), &self.lock_path(table))
    }
}

/// Takes the OS lock of a table, or returns `None` if another process has it.
pub(crate) fn lock(fs: &dyn Fs, path: &Path) -> Result<Option<FileLock>> {
    fs.try_lock(path).map_err(|error| Error::io("cannot take the lock of a table", error).with("lock", path.display()))
}

/// The error for a table whose lock another process has.
pub(crate) fn locked(path: &Path) -> Error {
    Error::unavailable("the table is open for writing in another process")
        .code("table-locked")
        .with("lock", path.display())
        .help("stop that writer, or open the database read-only")
}

pub(crate) fn this_process(environment: &Environment) -> Writer {
    Writer { host: host_name(), process: std::process::id(), since: environment.clock.now() }
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
