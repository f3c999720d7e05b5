//! A metastore and a file system that count the calls they receive.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use cayenne_format::{
    BlockChecksums, CommitId, CommitRecord, Expiry, FileId, Result, Sequence, Snapshot, SourcePosition, TableCommit,
    TableId, TableName, WriterEpoch,
};
use cayenne_metastore::{
    CommitLog, Metastore, NewTable, SqlView, SqlViews, StagedCommit, TableKey, TableRecord, Writer,
};
use cayenne_storage::{Entry, FileLock, Fs, LocalFs, ReadFile, WriteFile};

/// A metastore that counts its calls and passes them on.
#[derive(Debug)]
pub struct CountingMetastore {
    inner: Arc<dyn Metastore>,
    calls: AtomicUsize,
}

impl CountingMetastore {
    /// Returns a metastore that counts the calls to `inner`.
    #[must_use]
    pub fn new(inner: Arc<dyn Metastore>) -> Self {
        Self { inner, calls: AtomicUsize::new(0) }
    }

    /// Returns the number of calls so far.
    #[must_use]
    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    fn counted(&self) -> &dyn Metastore {
        self.calls.fetch_add(1, Ordering::SeqCst);
        self.inner.as_ref()
    }
}

#[async_trait]
impl CommitLog for CountingMetastore {
    async fn load_log(&self, table: TableId) -> Result<Vec<CommitRecord>> {
        self.counted().load_log(table).await
    }

    async fn load_sources(&self, table: TableId) -> Result<Vec<SourcePosition>> {
        self.counted().load_sources(table).await
    }

    async fn expire(&self, table: TableId, epoch: WriterEpoch, expiry: &Expiry) -> Result<()> {
        self.counted().expire(table, epoch, expiry).await
    }

    async fn stage(&self, commit: &TableCommit) -> Result<()> {
        self.counted().stage(commit).await
    }

    async fn load_staged(&self, table: TableId) -> Result<Vec<StagedCommit>> {
        self.counted().load_staged(table).await
    }

    async fn knows_deletion(&self, table: TableId, file: FileId) -> Result<bool> {
        self.counted().knows_deletion(table, file).await
    }

    async fn make_durable(&self) -> Result<()> {
        self.counted().make_durable().await
    }

    async fn discard_staged(&self, table: TableId, epoch: WriterEpoch, commit: CommitId) -> Result<()> {
        self.counted().discard_staged(table, epoch, commit).await
    }
}

#[async_trait]
impl SqlViews for CountingMetastore {
    async fn create_view(&self, view: &SqlView, replace: bool) -> Result<()> {
        self.counted().create_view(view, replace).await
    }

    async fn drop_view(&self, name: &TableName) -> Result<bool> {
        self.counted().drop_view(name).await
    }

    async fn find_view(&self, name: &TableName) -> Result<Option<SqlView>> {
        self.counted().find_view(name).await
    }

    async fn list_views(&self) -> Result<Vec<SqlView>> {
        self.counted().list_views().await
    }
}

#[async_trait]
impl Metastore for CountingMetastore {
    async fn create_table(&self, table: &NewTable) -> Result<TableRecord> {
        self.counted().create_table(table).await
    }

    async fn drop_table(&self, table: TableId, epoch: WriterEpoch) -> Result<()> {
        self.counted().drop_table(table, epoch).await
    }

    async fn list_tables(&self) -> Result<Vec<TableRecord>> {
        self.counted().list_tables().await
    }

    async fn find_table(&self, key: &TableKey) -> Result<Option<TableRecord>> {
        self.counted().find_table(key).await
    }

    async fn load_snapshot(&self, table: TableId, at: Option<Sequence>) -> Result<Snapshot> {
        self.counted().load_snapshot(table, at).await
    }

    async fn load_blocks(&self, table: TableId, file: FileId) -> Result<BlockChecksums> {
        self.counted().load_blocks(table, file).await
    }

    async fn begin_writer(&self, table: TableId, writer: &Writer) -> Result<WriterEpoch> {
        self.counted().begin_writer(table, writer).await
    }

    async fn commit(&self, commits: &[TableCommit]) -> Result<Vec<Sequence>> {
        self.counted().commit(commits).await
    }

    async fn close(&self) -> Result<()> {
        self.counted().close().await
    }
}

/// The local file system, with counted calls.
#[derive(Debug, Default)]
pub struct CountingFs {
    creates: AtomicUsize,
    opens: AtomicUsize,
    lists: AtomicUsize,
    syncs: Arc<AtomicUsize>,
    reads: Arc<AtomicUsize>,
}

impl CountingFs {
    /// Returns how many files were created.
    #[must_use]
    pub fn creates(&self) -> usize {
        self.creates.load(Ordering::SeqCst)
    }

    /// Returns how many files were opened for reading.
    #[must_use]
    pub fn opens(&self) -> usize {
        self.opens.load(Ordering::SeqCst)
    }

    /// Returns how many folders were listed.
    #[must_use]
    pub fn lists(&self) -> usize {
        self.lists.load(Ordering::SeqCst)
    }

    /// Returns how often a file or a folder was flushed to the disk.
    #[must_use]
    pub fn syncs(&self) -> usize {
        self.syncs.load(Ordering::SeqCst)
    }

    /// Returns how often a file was read.
    #[must_use]
    pub fn reads(&self) -> usize {
        self.reads.load(Ordering::SeqCst)
    }
}

impl Fs for CountingFs {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        LocalFs.create_dir_all(path)
    }

    fn create_file(&self, path: &Path) -> io::Result<Box<dyn WriteFile>> {
        self.creates.fetch_add(1, Ordering::SeqCst);
        Ok(Box::new(CountedWrites { inner: LocalFs.create_file(path)?, syncs: Arc::clone(&self.syncs) }))
    }

    fn open_file(&self, path: &Path) -> io::Result<Arc<dyn ReadFile>> {
        self.opens.fetch_add(1, Ordering::SeqCst);
        Ok(Arc::new(CountedReads { inner: LocalFs.open_file(path)?, reads: Arc::clone(&self.reads) }))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.syncs.fetch_add(1, Ordering::SeqCst);
        LocalFs.sync_dir(path)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        LocalFs.remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        LocalFs.remove_dir(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        LocalFs.rename(from, to)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        self.lists.fetch_add(1, Ordering::SeqCst);
        LocalFs.list(path)
    }

    fn try_lock(&self, path: &Path) -> io::Result<Option<FileLock>> {
        LocalFs.try_lock(path)
    }
}

struct CountedWrites {
    inner: Box<dyn WriteFile>,
    syncs: Arc<AtomicUsize>,
}

impl WriteFile for CountedWrites {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.inner.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.syncs.fetch_add(1, Ordering::SeqCst);
        self.inner.sync()
    }
}

struct CountedReads {
    inner: Arc<dyn ReadFile>,
    reads: Arc<AtomicUsize>,
}

impl ReadFile for CountedReads {
    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        self.inner.read_at(offset, bytes)
    }

    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }
}
