//! Becoming the single writer of a table: an OS lock shows which process is alive, and an epoch fences a writer that
//! has been replaced.

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
    /// Waits for the turn to commit. Makes this process the writer if it is not yet.
    pub(crate) async fn writer(&self) -> Result<WriterGuard<'_>> {
        self.shared.writable()?;
        let mut writer = self.writer.lock().await;
        self.require_known()?;
        if writer.is_none() {
            *writer = Some(self.become_writer().await?);
        }
        MutexGuard::try_map(writer, Option::as_mut).map_err(|_| Error::internal("a writer has no state"))
    }

    /// Returns an error if this process has dropped the table.
    pub(crate) fn require_known(&self) -> Result<()> {
        if self.pins.is_closed() { Err(self.was_dropped()) } else { Ok(()) }
    }

    /// Makes this process the writer if it is not yet, and checks with the metastore that it still is. Otherwise a
    /// fenced writer learns of it only at its next commit, and files that it does not know belong to the next writer.
    pub(crate) async fn require_latest_writer(&self) -> Result<()> {
        let nothing = Expiry { keep_from: Sequence::ZERO, forget_before: Sequence::ZERO };
        let writer = self.writer().await?;
        self.shared.metastore.expire(self.id(), writer.epoch, &nothing).await
    }

    /// Returns whether this process is the writer. If so, its view is up to date, and the metastore need not be
    /// queried.
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
                // Ids are never reused, so no other process will ask for this lock.
                self.shared.fs.remove_file(&self.shared.lock_path(self.id())).ok();
                self.was_dropped()
            }
            _ => error,
        })?;
        // Before anything is committed: a staged commit could get the sequence of a manifest of another history.
        self.move_later_manifests_aside(self.latest_sequence().await?).await?;
        self.recover_staged(epoch).await?;
        // The lock is held, so what the metastore says now stays true until this process changes it.
        self.reload().await?;
        let record = metastore.find_table(&TableKey::Id(self.id())).await?.ok_or_else(|| self.was_dropped())?;
        let sources = metastore.load_sources(self.id()).await?;
        // The next manifest only has to tell what changes from here on, if the last one tells the current state.
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

    /// Makes reads query the metastore again. The lost epoch stays in use, so every further commit is refused.
    pub(crate) fn lose_the_truth(&self) {
        self.pins.set_writer(false);
    }

    /// Gives up the right to write, if this process has it.
    pub(crate) async fn release(&self) {
        let mut writer = self.writer.lock().await;
        if writer.is_none() {
            return;
        }
        // The pins of this process must be announced before another process can become the writer.
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
