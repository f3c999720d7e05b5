//! The operations of a metastore, run on its reader and writer threads.

use cayenne_format::{
    BlockChecksums, CommitId, CommitRecord, Error, Expiry, FileId, Result, Sequence, Snapshot, SourcePosition, Steps,
    TableCommit, TableId, TableName, WriterEpoch,
};

use super::{Connection, Readers, Writer as WriterThread, change, load, tables, views};
use crate::place::Place;
use crate::sqlite::SqliteMetastore;
#[cfg(feature = "turso")]
use crate::turso::TursoMetastore;
use crate::{NewTable, SqlView, StagedCommit, TableKey, TableRecord, Writer};

/// An open file: its reader threads and its writer thread.
pub(crate) struct Database {
    pub(crate) place: Place,
    pub(crate) readers: Readers,
    /// `None` if the file is open read-only.
    pub(crate) writer: Option<WriterThread>,
}

/// Each method implements the method of [`Metastore`](crate::Metastore) with the same name.
impl Database {
    pub(crate) fn transactions(&self) -> u64 {
        self.writer.as_ref().map_or(0, WriterThread::transactions)
    }

    fn writer(&self) -> Result<&WriterThread> {
        self.writer.as_ref().ok_or_else(|| {
            Error::invalid("the metastore is open read-only").code("read-only").help("open the database for writing")
        })
    }

    /// Fails if this process has a writer and the file was moved away: a read would never see what others commit.
    fn require_place(&self) -> Result<()> {
        self.writer.as_ref().map_or(Ok(()), WriterThread::require_place)
    }

    pub(crate) async fn create_table(&self, table: &NewTable) -> Result<TableRecord> {
        let new = table.clone();
        self.writer()?.change(move |connection, steps| change::create_table(connection, steps, &new)).await
    }

    pub(crate) async fn drop_table(&self, table: TableId, epoch: WriterEpoch) -> Result<()> {
        self.writer()?.change(move |connection, steps| change::drop_table(connection, steps, table, epoch)).await
    }

    pub(crate) async fn list_tables(&self) -> Result<Vec<TableRecord>> {
        self.require_place()?;
        self.readers.read(tables::all).await
    }

    pub(crate) async fn find_table(&self, key: &TableKey) -> Result<Option<TableRecord>> {
        self.require_place()?;
        let key = key.clone();
        self.readers.read(move |connection| tables::find(connection, &key)).await
    }

    pub(crate) async fn create_view(&self, view: &SqlView, replace: bool) -> Result<()> {
        let view = view.clone();
        self.writer()?.change(move |connection, _| views::create(connection, &view, replace)).await
    }

    pub(crate) async fn drop_view(&self, name: &TableName) -> Result<bool> {
        let name = name.clone();
        self.writer()?.change(move |connection, _| views::delete(connection, &name)).await
    }

    pub(crate) async fn find_view(&self, name: &TableName) -> Result<Option<SqlView>> {
        self.require_place()?;
        let name = name.clone();
        self.readers.read(move |connection| views::find(connection, &name)).await
    }

    pub(crate) async fn list_views(&self) -> Result<Vec<SqlView>> {
        self.require_place()?;
        self.readers.read(views::all).await
    }

    pub(crate) async fn load_sources(&self, table: TableId) -> Result<Vec<SourcePosition>> {
        self.readers.read(move |connection| load::sources(connection, table)).await
    }

    pub(crate) async fn load_staged(&self, table: TableId) -> Result<Vec<StagedCommit>> {
        self.readers.read(move |connection| load::staged(connection, table)).await
    }

    pub(crate) async fn expire(&self, table: TableId, epoch: WriterEpoch, expiry: &Expiry) -> Result<()> {
        let expiry = *expiry;
        self.writer()?.change(move |connection, _| change::expire(connection, table, epoch, &expiry)).await
    }

    pub(crate) async fn stage(&self, commit: &TableCommit) -> Result<()> {
        let commit = commit.clone();
        self.writer()?.change(move |connection, steps| change::stage(connection, steps, &commit)).await
    }

    pub(crate) async fn discard_staged(&self, table: TableId, epoch: WriterEpoch, commit: CommitId) -> Result<()> {
        self.writer()?.change(move |connection, _| change::discard_staged(connection, table, epoch, commit)).await
    }

    pub(crate) async fn make_durable(&self) -> Result<()> {
        let place = self.place.clone();
        // The flush runs on the writer thread, after every earlier change has been written to the WAL.
        self.writer()?.change(move |_, _| place.flush_wal()).await
    }

    pub(crate) async fn load_snapshot(&self, table: TableId, at: Option<Sequence>) -> Result<Snapshot> {
        self.readers.read(move |connection| load::snapshot(connection, table, at)).await
    }

    pub(crate) async fn load_blocks(&self, table: TableId, file: FileId) -> Result<BlockChecksums> {
        self.readers.read(move |connection| load::blocks(connection, table, file)).await
    }

    pub(crate) async fn knows_deletion(&self, table: TableId, file: FileId) -> Result<bool> {
        self.readers.read(move |connection| load::knows_deletion(connection, table, file)).await
    }

    pub(crate) async fn load_log(&self, table: TableId) -> Result<Vec<CommitRecord>> {
        self.readers.read(move |connection| load::commits(connection, table)).await
    }

    pub(crate) async fn begin_writer(&self, table: TableId, writer: &Writer) -> Result<WriterEpoch> {
        let writer = writer.clone();
        self.writer()?.change(move |connection, _| change::begin_writer(connection, table, &writer)).await
    }

    pub(crate) async fn commit(&self, commits: &[TableCommit]) -> Result<Vec<Sequence>> {
        let commits = commits.to_vec();
        let apply = move |connection: &dyn Connection, steps: &dyn Steps| {
            commits.iter().map(|commit| change::commit(connection, steps, commit)).collect()
        };
        self.writer()?.change(apply).await
    }

    pub(crate) async fn close(&self) -> Result<()> {
        // Readers close first: an open read would keep the last checkpoint from truncating the WAL.
        let readers = self.readers.close().await;
        let writer = match &self.writer {
            Some(writer) => writer.close().await,
            None => Ok(()),
        };
        readers.and(writer)
    }
}

/// Implements [`Metastore`](crate::Metastore) and `Debug` for a backend with a field `database`.
macro_rules! metastore_in_database {
    ($backend:ident) => {
        impl std::fmt::Debug for $backend {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($backend))
                    .field("path", &self.database.place.path())
                    .field("read_only", &self.database.writer.is_none())
                    .finish_non_exhaustive()
            }
        }

        #[async_trait::async_trait]
        impl crate::CommitLog for $backend {
            async fn load_log(&self, table: TableId) -> Result<Vec<CommitRecord>> {
                self.database.load_log(table).await
            }

            async fn load_sources(&self, table: TableId) -> Result<Vec<SourcePosition>> {
                self.database.load_sources(table).await
            }

            async fn expire(&self, table: TableId, epoch: WriterEpoch, expiry: &Expiry) -> Result<()> {
                self.database.expire(table, epoch, expiry).await
            }

            async fn stage(&self, commit: &TableCommit) -> Result<()> {
                self.database.stage(commit).await
            }

            async fn load_staged(&self, table: TableId) -> Result<Vec<crate::StagedCommit>> {
                self.database.load_staged(table).await
            }

            async fn discard_staged(&self, table: TableId, epoch: WriterEpoch, commit: CommitId) -> Result<()> {
                self.database.discard_staged(table, epoch, commit).await
            }

            async fn knows_deletion(&self, table: TableId, file: FileId) -> Result<bool> {
                self.database.knows_deletion(table, file).await
            }

            async fn make_durable(&self) -> Result<()> {
                self.database.make_durable().await
            }
        }

        #[async_trait::async_trait]
        impl crate::SqlViews for $backend {
            async fn create_view(&self, view: &SqlView, replace: bool) -> Result<()> {
                self.database.create_view(view, replace).await
            }

            async fn drop_view(&self, name: &TableName) -> Result<bool> {
                self.database.drop_view(name).await
            }

            async fn find_view(&self, name: &TableName) -> Result<Option<SqlView>> {
                self.database.find_view(name).await
            }

            async fn list_views(&self) -> Result<Vec<SqlView>> {
                self.database.list_views().await
            }
        }

        #[async_trait::async_trait]
        impl crate::Metastore for $backend {
            async fn create_table(&self, table: &crate::NewTable) -> Result<crate::TableRecord> {
                self.database.create_table(table).await
            }

            async fn drop_table(&self, table: TableId, epoch: WriterEpoch) -> Result<()> {
                self.database.drop_table(table, epoch).await
            }

            async fn list_tables(&self) -> Result<Vec<crate::TableRecord>> {
                self.database.list_tables().await
            }

            async fn find_table(&self, key: &crate::TableKey) -> Result<Option<crate::TableRecord>> {
                self.database.find_table(key).await
            }

            async fn load_snapshot(&self, table: TableId, at: Option<Sequence>) -> Result<Snapshot> {
                self.database.load_snapshot(table, at).await
            }

            async fn load_blocks(&self, table: TableId, file: FileId) -> Result<BlockChecksums> {
                self.database.load_blocks(table, file).await
            }

            async fn begin_writer(&self, table: TableId, writer: &crate::Writer) -> Result<WriterEpoch> {
                self.database.begin_writer(table, writer).await
            }

            async fn commit(&self, commits: &[TableCommit]) -> Result<Vec<Sequence>> {
                self.database.commit(commits).await
            }

            async fn close(&self) -> Result<()> {
                self.database.close().await
            }
        }
    };
}

metastore_in_database!(SqliteMetastore);
#[cfg(feature = "turso")]
metastore_in_database!(TursoMetastore);
