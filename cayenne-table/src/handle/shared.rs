//! The components that all tables of a database share.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use cayenne_format::{BlockChecksums, Environment, Error, FileId, Result, TableId, path};
use cayenne_metastore::Metastore;
use cayenne_storage::{Fs, LoadBlocks, Storage};
use datafusion_execution::memory_pool::MemoryPool;

use crate::state::hidden_rows::HiddenCache;
use crate::state::key_indexes::KeyIndexCache;
use crate::state::maintenance::Maintenance;
use crate::view::readers::ReaderRegistry;
use crate::{Access, DatabaseSettings};

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) root: PathBuf,
    pub(crate) access: Access,
    pub(crate) metastore: Arc<dyn Metastore>,
    pub(crate) storage: Storage,
    pub(crate) fs: Arc<dyn Fs>,
    pub(crate) readers: Arc<ReaderRegistry>,
    pub(crate) environment: Environment,
    pub(crate) settings: DatabaseSettings,
    pub(crate) hidden: HiddenCache,
    pub(crate) key_indexes: KeyIndexCache,
    pub(crate) maintenance: Maintenance,
    /// The memory pool that compaction passes are charged to.
    pub(crate) compaction_memory: Arc<dyn MemoryPool>,
}

impl Shared {
    /// Returns an error if the database was opened only for reading.
    pub(crate) fn writable(&self) -> Result<()> {
        match self.access {
            Access::ReadWrite => Ok(()),
            Access::ReadOnly => Err(Error::invalid("the database is open read-only")
                .code("read-only")
                .with("database", self.root.display())
                .help("open it for writing")),
        }
    }

    pub(crate) fn lock_path(&self, table: TableId) -> PathBuf {
        self.root.join(path::METADATA_FOLDER).join(path::lock_file(table))
    }
}

/// Loads block checksums from the metastore when a data file is first read.
///
/// It holds nothing but the metastore: open files hold it, and [`Shared`] holds the open files.
#[derive(Debug)]
pub(crate) struct BlocksOf(pub(crate) Arc<dyn Metastore>);

#[async_trait]
impl LoadBlocks for BlocksOf {
    async fn load_blocks(&self, table: TableId, file: FileId) -> Result<BlockChecksums> {
        self.0.load_blocks(table, file).await
    }
}
