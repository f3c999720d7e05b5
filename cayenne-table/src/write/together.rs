//! Writes to one or several tables: first the files of each table, then one commit that names all of them.

use crate::write::written::names_of;
use std::fmt;
use std::sync::Arc;

use cayenne_deletes::Keys;
use cayenne_format::{Error, NewDataFile, Operation, Result, Sequence, SourcePosition};
use cayenne_storage::{RowStream, WriteRequest};
use futures::future::{self, BoxFuture};
use futures::stream::{self, FuturesUnordered};
use futures::{FutureExt as _, StreamExt as _};
use tokio::sync::{OwnedRwLockReadGuard, oneshot};

use crate::handle::shared::Shared;
use crate::keys::KeyRule;
use crate::visibility::rows::SeenRows;
use crate::write::found::FoundRows;
use crate::write::publish::{Publication, Published};
use crate::write::replaced::Replaced;
use crate::write::written::of_rows;
use crate::write::written::was_not_applied;
use crate::{Database, Table, Written, task};

/// A write to one table, to be committed together with writes to other tables.
pub struct TableWrite {
    table: Arc<Table>,
    operation: Operation,
    rows: Vec<RowStream>,
    source: Option<SourcePosition>,
    /// The rows to hide, complete once the streams have ended, and the sequence of the view they were found in.
    pub(crate) hidden: Option<(Sequence, SeenRows)>,
    rule: KeyRule,
    /// The keys of the rows to delete.
    pub(crate) deleted: Option<Keys>,
}

impl TableWrite {
    pub(crate) fn new(table: &Arc<Table>, operation: Operation, rows: Vec<RowStream>) -> Self {
        let rule = KeyRule::of(table.options(), operation);
        Self { table: Arc::clone(table), operation, rows, source: None, hidden: None, rule, deleted: None }
    }

    /// Sets the source position of the rows. If the table has already committed this position of the stream, or a later
    /// one, the write changes nothing: so it may be repeated after its answer was lost.
    #[must_use]
    pub fn from_source(mut self, source: SourcePosition) -> Self {
        self.source = Some(source);
        self
    }

    /// Adds rows, as [`Table::append`] does.
    #[must_use]
    pub fn append(table: &Arc<Table>, rows: Vec<RowStream>) -> Self {
        Self::new(table, Operation::Append, rows)
    }

    /// Adds rows and replaces the rows that have the same keys, as [`Table::upsert`] does.
    #[must_use]
    pub fn upsert(table: &Arc<Table>, rows: Vec<RowStream>) -> Self {
        Self { rule: KeyRule::Upsert, ..Self::new(table, Operation::Upsert, rows) }
    }

    /// Replaces all rows, as [`Table::overwrite`] does.
    #[must_use]
    pub fn overwrite(table: &Arc<Table>, rows: Vec<RowStream>) -> Self {
        Self::new(table, Operation::Overwrite, rows)
    }

    /// Removes all rows, as [`Table::truncate`] does.
    #[must_use]
    pub fn truncate(table: &Arc<Table>) -> Self {
        Self::new(table, Operation::Truncate, Vec::new())
    }
}

impl fmt::Debug for TableWrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { table, operation, rows, source, hidden, rule, deleted } = self;
        let streams = rows.len();
        f.debug_struct("TableWrite")
            .field("table", table)
            .field("operation", operation)
            .field("streams", &streams)
            .field("source", source)
            .field("hidden", hidden)
            .field("rule", rule)
            .field("deleted", &deleted.as_ref().map(Keys::len))
            .finish()
    }
}

impl Database {
    /// Writes several tables in one commit: either all writes become durable and visible, or none.
    ///
    /// The tables are written concurrently, so that streams may be fed from one source. The results are in the order of
    /// `writes`. A view is of one table: a reader that takes its view of one table before the commit and of another
    /// table after it sees the commit in the second table only.
    ///
    /// # Errors
    ///
    /// `Invalid` if a table occurs twice or belongs to another database; otherwise as [`Table::append`]. On an error,
    /// nothing is changed in any table.
    pub async fn write_together(&self, writes: Vec<TableWrite>) -> Result<Vec<Written>> {
        for (at, write) in writes.iter().enumerate() {
            let refused = |problem| Error::invalid(problem).code("invalid-write").with("table", write.table.name());
            if !Arc::ptr_eq(&write.table.shared, &self.shared) {
                return Err(refused("a table of another database cannot be written in the same commit"));
            }
            if writes.iter().take(at).any(|other| other.table.id() == write.table.id()) {
                return Err(refused("a table is written twice in the same commit").help("give all of its rows at once"));
            }
        }
        write_together(&self.shared, writes).await
    }
}

/// The files of one table that are written but not named by a commit yet.
pub(crate) struct Unnamed {
    /// The index of the write that the files belong to.
    pub(crate) place: usize,
    pub(crate) table: Arc<Table>,
    pub(crate) operation: Operation,
    pub(crate) replaced: Replaced,
    pub(crate) found: Option<FoundRows>,
    pub(crate) rule: KeyRule,
    pub(crate) deleted: Option<Keys>,
    pub(crate) files: Vec<NewDataFile>,
    pub(crate) source: Option<SourcePosition>,
}

pub(crate) async fn write_together(shared: &Arc<Shared>, writes: Vec<TableWrite>) -> Result<Vec<Written>> {
    let mut writes: Vec<_> = writes.into_iter().enumerate().collect();
    // In one order for all callers, so that no two wait for each other.
    writes.sort_by_key(|(_, write)| write.table.id());
    let mut no_commit_yet = Vec::with_capacity(writes.len());
    for (_, write) in &mut writes {
        // Become the writer first: if another process writes the table, this fails before any work is done.
        let turn = write.table.writer().await?;
        if write.source.as_ref().is_some_and(|source| turn.has_taken(source)) {
            // Rows of a source position that was committed before are not read again.
            write.rows.clear();
        }
        drop(turn);
        no_commit_yet.push(Arc::clone(&write.table.unnamed_files).read_owned().await);
        // The table may have been dropped during the wait.
        write.table.require_known()?;
    }
    let unnamed = write_files(writes).await?;
    let tables: Vec<_> = unnamed.iter().map(|unnamed| Arc::clone(&unnamed.table)).collect();
    let written = publish_files(shared, unnamed, no_commit_yet).await?;
    tables.iter().for_each(Table::flush_if_full);
    tables.iter().for_each(Table::look_after);
    tables.iter().for_each(Table::write_manifest_if_due);
    Ok(written)
}

/// Writes the files of all tables, or removes all of them if one write fails.
async fn write_files(writes: Vec<(usize, TableWrite)>) -> Result<Vec<Unnamed>> {
    let (stop, comes) = oneshot::channel::<()>();
    let stopped: Stopped = comes.map(drop).boxed().shared();
    let write = |(place, write): (usize, TableWrite)| write.until(&stopped).into_files(place);
    let mut under_way: FuturesUnordered<_> = writes.into_iter().map(write).collect();
    let mut written: Vec<Unnamed> = Vec::with_capacity(under_way.len());
    let (mut stop, mut failed) = (Some(stop), None);
    while let Some(done) = under_way.next().await {
        match done {
            Ok(unnamed) => written.push(unnamed),
            Err(error) => {
                // The other writes are ended with an error, and so remove their files.
                drop(stop.take());
                failed.get_or_insert(error);
            }
        }
    }
    if let Some(error) = failed {
        remove(written.iter().map(|unnamed| (&unnamed.table, names_of(&unnamed.files)))).await;
        return Err(error);
    }
    written.sort_by_key(|unnamed| unnamed.table.id());
    Ok(written)
}

impl TableWrite {
    /// Ends the streams with an error when another write has failed.
    fn until(mut self, stopped: &Stopped) -> Self {
        self.rows = self.rows.into_iter().map(|rows| until(stopped, rows)).collect();
        self
    }

    pub(crate) async fn into_files(self, place: usize) -> Result<Unnamed> {
        let Self { table, operation, rows, source, hidden, rule, deleted } = self;
        rule.require_key(&table)?;
        let is_replaced = !rows.is_empty();
        let request = WriteRequest {
            location: table.record.location.clone(),
            schema: Arc::clone(table.schema()),
            options: table.options_of_write(),
            rows,
            index: table.index_rows(rule),
            memory: None,
        };
        let files = table.shared.storage.write(request).await.map_err(|error| of_rows(error, table.name()))?;
        let replaced = match operation {
            Operation::Overwrite | Operation::Truncate => Replaced::Everything,
            _ => Replaced::Nothing,
        };
        // The streams have ended, so all rows to hide have been found.
        let found = hidden.map(|(seen_at, rows)| FoundRows { seen_at, rows: rows.take(), is_replaced });
        Ok(Unnamed { place, table, operation, replaced, found, rule, deleted, files, source })
    }
}

/// Completes when a concurrent write has failed.
type Stopped = future::Shared<BoxFuture<'static, ()>>;

/// Ends a stream with an error when another write has failed.
fn until(stopped: &Stopped, rows: RowStream) -> RowStream {
    let has_stopped = stopped.clone();
    let broken_off = |()| Err(Error::invalid("the write of another table has failed"));
    // A stream that has already ended gets no error.
    let last = stream::once(async move { has_stopped.peek().copied().map(broken_off) });
    rows.take_until(stopped.clone()).chain(last.filter_map(future::ready)).boxed()
}

/// How much was written to one table.
pub(crate) struct Counts {
    place: usize,
    rows: u64,
    files: usize,
}

impl Unnamed {
    pub(crate) fn counts(&self) -> Counts {
        let rows = self.files.iter().map(|new| new.file.rows).sum();
        Counts { place: self.place, rows, files: self.files.len() }
    }
}

impl Counts {
    pub(crate) fn with(self, published: &Published) -> (usize, Written) {
        let Published { sequence, rows_removed, rows_left_out, is_repeated, .. } = *published;
        let (rows, files) = if is_repeated {
            (0, 0)
        } else {
            let files_left_out = published.files_left_out.files;
            (self.rows.saturating_sub(rows_left_out), self.files.saturating_sub(files_left_out))
        };
        (self.place, Written { rows, rows_removed, files, sequence, is_repeated })
    }
}

/// Commits files to their tables, or removes them if the commit was not applied.
pub(crate) async fn publish_files(
    shared: &Arc<Shared>,
    unnamed: Vec<Unnamed>,
    no_commit_yet: Vec<OwnedRwLockReadGuard<()>>,
) -> Result<Vec<Written>> {
    let counts: Vec<_> = unnamed.iter().map(Unnamed::counts).collect();
    let names: Vec<_> = unnamed.iter().map(|unnamed| names_of(&unnamed.files)).collect();
    let tables: Vec<_> = unnamed.iter().map(|unnamed| Arc::clone(&unnamed.table)).collect();
    let (shared, written_to) = (Arc::clone(shared), tables.clone());
    let commit = async move {
        let publications = written_to.iter().zip(unnamed).map(|(table, unnamed)| {
            let Unnamed { operation, replaced, found, rule, deleted, files, source, .. } = unnamed;
            Publication { table, operation, replaced, files, found, rule, deleted, source, id: None }
        });
        let published = shared.publish(publications.collect()).await;
        // Held by the task and not by the caller, which may be cancelled: the files must not be collected before this
        // point.
        drop(no_commit_yet);
        published
    };
    match task::to_the_end(commit).await {
        Ok(published) => {
            let left = names.into_iter().zip(&published).map(|(names, published)| {
                if published.is_repeated { names } else { published.files_left_out.names.clone() }
            });
            remove(tables.iter().zip(left).filter(|(_, names)| !names.is_empty())).await;
            let mut written: Vec<_> =
                counts.into_iter().zip(published).map(|(counts, done)| counts.with(&done)).collect();
            written.sort_by_key(|(place, _)| *place);
            Ok(written.into_iter().map(|(_, written)| written).collect())
        }
        Err(error) => {
            if was_not_applied(&error) {
                remove(tables.iter().zip(names)).await;
            }
            Err(error)
        }
    }
}

/// Removes the files of a failed write. Files that stay are found by `collect`.
pub(crate) async fn remove(files: impl Iterator<Item = (&Arc<Table>, Vec<String>)>) {
    for (table, names) in files {
        let removed = table.shared.storage.remove_files(&table.record.location, &names).await;
        removed.inspect_err(|error| tracing::warn!(%error, "files of a failed write were left")).ok();
    }
}
