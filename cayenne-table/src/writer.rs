//! Being the one writer of a table: an OS lock, which tells who is alive, and an epoch, which fences who is not.

use std::sync::atomic::Ordering;

use cayenne_format::{Error, Result, WriterEpoch};
use cayenne_metastore::Writer;
use cayenne_storage::FileLock;
use tokio::sync::MutexGuard;

use crate::Table;
use crate::shared::Shared;

/// What the writer of a table holds. Dropping it lets another process write.
#[derive(Debug)]
pub(crate) struct WriterState {
    pub(crate) epoch: WriterEpoch,
    _lock: FileLock,
}

/// The right to commit, for one commit.
pub(crate) struct WriterGuard<'a> {
    _serialises: MutexGuard<'a, Option<WriterState>>,
    pub(crate) epoch: WriterEpoch,
}

impl Table {
    /// Waits for its turn to commit, and makes this process the writer if it is not yet.
    pub(crate) async fn writer(&self) -> Result<WriterGuard<'_>> {
        self.shared.writable()?;
        let mut writer = self.writer.lock().await;
        let epoch = match writer.as_ref() {
            Some(state) => state.epoch,
            None => writer.insert(self.become_writer().await?).epoch,
        };
        Ok(WriterGuard { _serialises: writer, epoch })
    }

    async fn become_writer(&self) -> Result<WriterState> {
        let Some(lock) = self.shared.lock(self.id())? else {
            return Err(self.locked_by_another().await);
        };
        let epoch = self.shared.metastore.begin_writer(self.id(), &self.shared.this_process()).await?;
        // The lock is held: what the metastore says now is what stays true until this process changes it.
        self.reload().await?;
        self.is_writer.store(true, Ordering::Release);
        Ok(WriterState { epoch, _lock: lock })
    }

    async fn locked_by_another(&self) -> Error {
        let error = Error::unavailable("the table is open for writing in another process")
            .code("table-locked")
            .with("table", self.name())
            .with("lock", self.shared.lock_path(self.id()).display())
            .help("stop that writer, or open the database read-only");
        let tables = self.shared.metastore.list_tables().await.unwrap_or_default();
        let record = tables.into_iter().find(|record| record.id == self.id());
        match record.and_then(|record| Some((record.writer?, record.epoch))) {
            Some((writer, epoch)) => error.with("writer", writer).with("epoch", epoch),
            None => error,
        }
    }

    /// Gives up the right to write, if this process has it.
    pub(crate) async fn release(&self) {
        let mut writer = self.writer.lock().await;
        self.is_writer.store(false, Ordering::Release);
        *writer = None;
    }
}

impl Shared {
    /// Takes the OS lock of a table, or returns `None` if another process has it.
    pub(crate) fn lock(&self, table: cayenne_format::TableId) -> Result<Option<FileLock>> {
        let path = self.lock_path(table);
        self.fs
            .try_lock(&path)
            .map_err(|error| Error::io("cannot take the lock of a table", error).with("lock", path.display()))
    }

    fn this_process(&self) -> Writer {
        Writer { host: host_name(), process: std::process::id(), since: self.environment.clock.now() }
    }
}

fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
