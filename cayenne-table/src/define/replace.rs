//! Replacing a table: one transaction drops the old table and creates the new one under its name.

use std::sync::Arc;

use arrow_schema::Schema;
use cayenne_format::{Error, Result, TableOptions, WriterEpoch};
use cayenne_metastore::{NewTable, TableRecord};
use cayenne_storage::RowStream;
use tokio::sync::OwnedRwLockWriteGuard;

use crate::define::definition::warn_of_unsupported;
use crate::define::drop::retire;
use crate::{Database, Table, TableDefinition};

/// A table that is about to be replaced. No other operation writes to it meanwhile.
pub(crate) struct Replacing {
    table: Arc<Table>,
    epoch: WriterEpoch,
    _alone: OwnedRwLockWriteGuard<()>,
}

impl Replacing {
    /// Waits for writes to the table that are under way; later writes find no table.
    pub(crate) async fn begin(table: &Arc<Table>) -> Result<Self> {
        let alone = Arc::clone(&table.unnamed_files).write_owned().await;
        let epoch = table.writer().await?.epoch;
        Ok(Self { table: Arc::clone(table), epoch, _alone: alone })
    }
}

impl Database {
    /// Creates a table with rows in it, in place of `replaced`: it has the same name, but columns, options and a
    /// history of its own.
    ///
    /// The old table is dropped and the new one created in one commit. Readers of the old table can go on, and its
    /// files stay as long as they read; the rows may be read from it. A write to the old table that has not begun to
    /// commit by then fails with the code `table-dropped`.
    ///
    /// # Errors
    ///
    /// As [`create_table_with`](Self::create_table_with), except for errors about the name; `NotFound` (code
    /// `table-dropped`) if `replaced` was dropped meanwhile; `Unavailable` (code `table-locked`) if another process
    /// writes it; `Invalid` if it belongs to another database. On an error, `replaced` stays as it is.
    pub async fn replace_table_with(
        &self,
        replaced: &Arc<Table>,
        schema: &Schema,
        options: TableOptions,
        rows: Vec<RowStream>,
    ) -> Result<Arc<Table>> {
        self.shared.writable()?;
        if !Arc::ptr_eq(&replaced.shared, &self.shared) {
            return Err(Error::invalid("a table of another database cannot be replaced").with("table", replaced.name()));
        }
        let definition = TableDefinition::new(replaced.name(), schema, options)?;
        for warning in definition.options().warnings() {
            tracing::warn!(table = %replaced.name(), "{warning}");
        }
        warn_of_unsupported(replaced.name(), schema, definition.options().unsupported_type_action);
        // Become the writer first: if another process writes the table, this fails before any work is done.
        drop(replaced.writer().await?);
        self.make_table(definition, rows, Some(Arc::clone(replaced))).await
    }

    pub(crate) async fn create_in_place_of(&self, replacing: Replacing, mut new: NewTable) -> Result<TableRecord> {
        let replaced = &replacing.table;
        let no_manifest = replaced.forget_manifests().await?;
        new.replaces = Some((replaced.id(), replacing.epoch));
        let created = self.shared.metastore.create_table(&new).await;
        drop(no_manifest);
        match &created {
            Ok(_) => retire(&self.shared, &self.tables, replaced).await,
            // The table stays, so it needs the manifest that would bring it back.
            Err(_) => replaced.write_manifest_or_warn().await,
        }
        created
    }
}
