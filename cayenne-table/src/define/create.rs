//! Creating tables.

use crate::define::definition::name_taken;
use crate::define::definition::warn_of_unsupported;
use crate::define::drop::retire;
use crate::state::key_codec::codec_of;
use crate::write::written::was_not_applied;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow_schema::Schema;
use cayenne_format::{
    Change, CommitId, Error, NewDataFile, Operation, Result, Sequence, Snapshot, Step, TableCommit, TableId, TableName,
    TableOptions, WriterEpoch, path,
};
use cayenne_metastore::{Beginning, History, NewTable, TableRecord};
use cayenne_storage::{FileLock, RowStream, WriteRequest};

use crate::define::replace::Replacing;
use crate::keys::{KeyRule, index_rows};
use crate::visibility::rows::HiddenRows;
use crate::write::written::of_rows;
use crate::{Database, Table, TableDefinition, View, task};

impl Database {
    /// Creates an empty table.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` if a table or a view has the name; `Unsupported` or `Invalid` for a schema that cannot be stored; `Invalid` for
    /// options that contradict each other.
    pub async fn create_table(&self, name: &TableName, schema: &Schema, options: TableOptions) -> Result<Arc<Table>> {
        self.create_table_with(name, schema, options, Vec::new()).await
    }

    /// Creates a table with rows in it. The table and all of its rows become visible together, or not at all.
    ///
    /// # Errors
    ///
    /// As [`create_table`](Self::create_table), and what a stream returns. On an error, nothing is left of the table.
    pub async fn create_table_with(
        &self,
        name: &TableName,
        schema: &Schema,
        options: TableOptions,
        rows: Vec<RowStream>,
    ) -> Result<Arc<Table>> {
        self.shared.writable()?;
        let definition = TableDefinition::new(name, schema, options)?;
        for warning in definition.options.warnings() {
            tracing::warn!(table = %name, "{warning}");
        }
        if self.find_record(name).await?.is_some() {
            return Err(name_taken(name));
        }
        warn_of_unsupported(name, schema, definition.options.unsupported_type_action);
        self.make_table(definition, rows, None).await
    }

    /// Creates a table with rows in it, in place of `replaced` if that is given.
    pub(crate) async fn make_table(
        &self,
        definition: TableDefinition,
        rows: Vec<RowStream>,
        replaced: Option<Arc<Table>>,
    ) -> Result<Arc<Table>> {
        let TableDefinition { name, schema, options } = definition;
        self.require_no_view(&name).await?;
        let id = TableId::draw(self.shared.environment.ids.as_ref());
        let made_at = self.shared.environment.clock.now();
        let location = path::table_folder(&name, id);
        let new = NewTable {
            id,
            name,
            location: location.clone(),
            schema,
            options,
            made_at,
            begins: Beginning::Empty,
            replaces: None,
        };
        // Held while the metastore does not know the table, so that no other process takes the folder for an orphan.
        let lock = self.shared.lock(id)?;
        match self.fill_and_create(new, rows, lock, replaced.clone()).await {
            Ok(record) => self.open_made(record).await,
            Err(error) => {
                let made = self.settle_failure(error, &location, id).await?;
                // The table was created after all; only the answer was lost.
                if let Some(replaced) = &replaced {
                    retire(&self.shared, &self.tables, replaced).await;
                }
                Ok(made)
            }
        }
    }

    /// Opens a table that this process has created.
    pub(crate) async fn open_made(&self, record: TableRecord) -> Result<Arc<Table>> {
        let table = self.open_table(record).await?;
        table.has_changed.store(true, Ordering::Release);
        Ok(table)
    }

    /// After a failure, asks the metastore whether the table was created: the answer to the commit may have been lost.
    pub(crate) async fn settle_failure(&self, error: Error, location: &str, id: TableId) -> Result<Arc<Table>> {
        let Ok(records) = self.tables().await else {
            // The outcome is unknown. If files are left, `collect` finds them.
            return Err(error);
        };
        if let Some(record) = records.into_iter().find(|record| record.id == id) {
            return self.open_made(record).await;
        }
        if was_not_applied(&error) {
            self.shared.forget_folder(location, id).await;
        }
        Err(error)
    }

    async fn fill_and_create(
        &self,
        mut new: NewTable,
        rows: Vec<RowStream>,
        lock: Option<FileLock>,
        replaced: Option<Arc<Table>>,
    ) -> Result<TableRecord> {
        self.shared.storage.create_table_folder(&new.location, new.id).await?;
        let codec = codec_of(&new.schema, &new.options, new.id)?.map(Arc::new);
        let rule = KeyRule::of(&new.options, Operation::Append);
        let request = WriteRequest {
            location: new.location.clone(),
            schema: Arc::clone(&new.schema),
            options: new.options.clone(),
            rows,
            index: index_rows(codec.as_ref(), &new.options, rule),
            memory: None,
        };
        let files = self.shared.storage.write(request).await.map_err(|error| of_rows(error, &new.name))?;
        if !files.is_empty() {
            let hidden = self.hidden_from_the_beginning(&new, &files, rule).await?;
            new.begins = Beginning::FirstRows(Box::new(self.first_commit(new.id, files, hidden)));
        }
        self.shared.environment.steps.before(Step::HandCommit)?;
        let replacing = match &replaced {
            Some(replaced) => Some(Replacing::begin(replaced).await?),
            None => None,
        };
        let here = Self { shared: Arc::clone(&self.shared), tables: Arc::clone(&self.tables) };
        let commit = async move {
            let created = match replacing {
                Some(replacing) => here.create_in_place_of(replacing, new).await,
                None => here.shared.metastore.create_table(&new).await,
            };
            // Held by the task and not by the caller, which may be cancelled: the folder must not be collected before
            // this point.
            drop(lock);
            created
        };
        task::to_the_end(commit).await
    }

    /// Returns the changes that hide rows of a new table whose keys other rows of it have.
    async fn hidden_from_the_beginning(
        &self,
        new: &NewTable,
        files: &[NewDataFile],
        rule: KeyRule,
    ) -> Result<Vec<Change>> {
        let record = TableRecord {
            id: new.id,
            name: new.name.clone(),
            location: new.location.clone(),
            schema: Arc::clone(&new.schema),
            options: new.options.clone(),
            made_at: new.made_at,
            sequence: Sequence::ZERO,
            epoch: WriterEpoch::NONE,
            writer: None,
            history: History::default(),
        };
        let nothing = View::new(Snapshot::empty(new.id), Arc::clone(&new.schema));
        let table = Table::new(record, Arc::clone(&self.shared), nothing.clone())?;
        let mut hidden = HiddenRows::default();
        table.meet(&nothing, files, rule, &mut hidden).await?;
        table.hide_by_position(&hidden.of_new).await
    }

    fn first_commit(&self, table: TableId, files: Vec<NewDataFile>, hidden: Vec<Change>) -> TableCommit {
        TableCommit {
            id: CommitId::draw(self.shared.environment.ids.as_ref()),
            table,
            epoch: WriterEpoch::NONE,
            operation: Operation::Append,
            made_at: self.shared.environment.clock.now(),
            requires: Vec::new(),
            changes: files.into_iter().map(|file| Change::AddFile(Box::new(file))).chain(hidden).collect(),
            source: None,
            expiry: None,
        }
    }
}
