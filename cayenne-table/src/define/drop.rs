//! Dropping a table.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use cayenne_format::{Result, TableId, TableName};
use parking_lot::Mutex;

use crate::handle::database::Handles;
use crate::handle::shared::Shared;
use crate::{Database, Table, task};

impl Database {
    /// Drops a table and removes its files. If the files are still read, `collect` removes them later.
    ///
    /// Returns false if there is no such table.
    ///
    /// # Errors
    ///
    /// `Unavailable` (code `table-locked`) if another process writes the table.
    pub async fn drop_table(&self, name: &TableName) -> Result<bool> {
        self.shared.writable()?;
        let Some(table) = self.table(name).await? else {
            return Ok(false);
        };
        // Waits for writes that are under way; later writes find no table.
        let alone = Arc::clone(&table.unnamed_files).write_owned().await;
        let epoch = table.writer().await?.epoch;
        let (shared, tables) = (Arc::clone(&self.shared), Arc::clone(&self.tables));
        task::to_the_end(async move {
            let no_manifest = table.forget_manifests().await?;
            let dropped = shared.metastore.drop_table(table.id(), epoch).await;
            drop(no_manifest);
            if dropped.is_err() {
                // The table stays, so it needs the manifest that would bring it back.
                table.write_manifest_or_warn().await;
            }
            dropped?;
            retire(&shared, &tables, &table).await;
            drop(alone);
            Ok(true)
        })
        .await
    }
}

/// Releases a table that the metastore has dropped, and removes its folder. If the table is still read, `collect`
/// removes the folder later. No error is returned, because the table is dropped already.
pub(crate) async fn retire(shared: &Shared, tables: &Mutex<Handles>, table: &Arc<Table>) {
    table.has_changed.store(false, Ordering::Release);
    tables.lock().forget(table);
    let elsewhere = shared.readers.oldest_elsewhere(table.id());
    if table.pins.close() && matches!(elsewhere, Ok(None)) {
        shared.forget_folder(&table.record().location, table.id()).await;
    }
    // While the lock is held, `collect` takes the folder for that of a table that is still written.
    table.release().await;
}

impl Shared {
    /// Removes the folder of a table that the metastore does not know. If it stays, `collect` finds it.
    pub(crate) async fn forget_folder(&self, location: &str, id: TableId) {
        // The change that made the folder an orphan must survive a power failure.
        if let Err(error) = self.metastore.make_durable().await {
            tracing::warn!(%error, location, "the folder of a table was left");
            return;
        }
        let removed = self.storage.remove_table_folder(location, id).await;
        removed.inspect_err(|error| tracing::warn!(%error, location, "the folder of a table was left")).ok();
        // The lock file goes last. It does not matter if it is missing.
        self.fs.remove_file(&self.lock_path(id)).ok();
    }
}
