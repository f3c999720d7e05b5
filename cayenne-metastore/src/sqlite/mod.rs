//! The backend on SQLite: one file in WAL mode, one writer thread that groups commits, two reader threads.

mod change;
mod connect;
mod digest;
mod failure;
mod group;
mod identity;
mod load;
mod log;
mod place;
mod queue;
mod reader;
mod row;
mod settings;
mod tables;
mod writer;

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use cayenne_format::{
    BlockChecksums, CommitRecord, Error, FileId, Result, Sequence, Snapshot, Steps, TableCommit, TableId, WriterEpoch,
};

use self::place::Place;
use self::reader::{Neighbours, Readers};
use self::writer::Writer as WriterThread;
use crate::{Metastore, NewTable, TableRecord, Writer};

pub use self::settings::{SqliteSettings, Synchronous};

/// A metastore in one SQLite file.
///
/// Its futures need no runtime: the work is done by threads of its own. Dropping it finishes what was asked and closes
/// the file, in the background; [`close`](Metastore::close) does so before it returns, and tidies up.
pub struct SqliteMetastore {
    place: Place,
    readers: Readers,
    /// `None` where the file is only read.
    writer: Option<WriterThread>,
}

impl SqliteMetastore {
    /// Opens the metastore at `path`, and makes it if there is no file or one without bytes.
    ///
    /// `steps` is told of the steps of each commit. A file of an older version is brought to that of this build.
    ///
    /// # Errors
    ///
    /// `Unsupported` with code `newer-metastore` or `foreign-metastore` for a file that another build or application
    /// wrote; `Corrupt` for a damaged one; `NotFound` if its folder does not exist; `Invalid` for a path or settings that
    /// cannot be used; `Unavailable` with code `metastore-busy` if another process keeps it for too long.
    pub async fn open(path: impl AsRef<Path>, settings: SqliteSettings, steps: Arc<dyn Steps>) -> Result<Self> {
        settings.validate()?;
        let place = Place::find(path.as_ref())?;
        let writer = WriterThread::open(place.clone(), settings.clone(), steps).await?;
        let readers = Readers::start(&place, &settings, Neighbours::OwnWriter)?;
        Ok(Self { place, readers, writer: Some(writer) })
    }

    /// Opens the metastore at `path` for reading. Commits of other processes are seen as soon as they are durable.
    ///
    /// No file is made while nobody writes the metastore, so a folder without write permission will do.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open); also `NotFound` if there is no metastore, and `Unsupported` with code `older-metastore` if
    /// it needs a migration. Everything that would change it returns `Invalid` with code `read-only`.
    pub async fn open_read_only(path: impl AsRef<Path>, settings: SqliteSettings) -> Result<Self> {
        settings.validate()?;
        let place = Place::find(path.as_ref())?;
        let readers = reader::open_alone(place.clone(), &settings).await?;
        Ok(Self { place, readers, writer: None })
    }

    /// Returns how many transactions have changed the file since it was opened. Changes that wait together share one.
    #[must_use]
    pub fn transactions(&self) -> u64 {
        self.writer.as_ref().map_or(0, WriterThread::transactions)
    }

    fn writer(&self) -> Result<&WriterThread> {
        self.writer.as_ref().ok_or_else(|| {
            Error::invalid("the metastore is open for reading only")
                .code("read-only")
                .help("open the database for writing")
        })
    }
}

impl fmt::Debug for SqliteMetastore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteMetastore")
            .field("path", &self.place.path())
            .field("read_only", &self.writer.is_none())
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Metastore for SqliteMetastore {
    async fn create_table(&self, table: &NewTable) -> Result<TableRecord> {
        let new = table.clone();
        self.writer()?.change(move |connection, steps| change::create_table(connection, steps, &new)).await
    }

    async fn drop_table(&self, table: TableId, epoch: WriterEpoch) -> Result<()> {
        self.writer()?.change(move |connection, steps| change::drop_table(connection, steps, table, epoch)).await
    }

    async fn list_tables(&self) -> Result<Vec<TableRecord>> {
        self.readers.read(tables::all).await
    }

    async fn load_snapshot(&self, table: TableId, at: Option<Sequence>) -> Result<Snapshot> {
        self.readers.read(move |connection| load::snapshot(connection, table, at)).await
    }

    async fn load_blocks(&self, table: TableId, file: FileId) -> Result<BlockChecksums> {
        self.readers.read(move |connection| load::blocks(connection, table, file)).await
    }

    async fn load_log(&self, table: TableId) -> Result<Vec<CommitRecord>> {
        self.readers.read(move |connection| load::commits(connection, table)).await
    }

    async fn begin_writer(&self, table: TableId, writer: &Writer) -> Result<WriterEpoch> {
        let writer = writer.clone();
        self.writer()?.change(move |connection, _| change::begin_writer(connection, table, &writer)).await
    }

    async fn commit(&self, commits: &[TableCommit]) -> Result<Vec<Sequence>> {
        let commits = commits.to_vec();
        let apply = move |connection: &_, steps: &dyn Steps| {
            commits.iter().map(|commit| change::commit(connection, steps, commit)).collect()
        };
        self.writer()?.change(apply).await
    }

    async fn close(&self) -> Result<()> {
        // Readers first: an open read would keep the last checkpoint from cutting the WAL.
        let readers = self.readers.close().await;
        let writer = match &self.writer {
            Some(writer) => writer.close().await,
            None => Ok(()),
        };
        readers.and(writer)
    }
}
