//! Block checksums: how readers load them, and a small cache of them.

use std::collections::HashMap;
use std::fmt;
use std::hash::BuildHasher;
use std::sync::Arc;

use async_trait::async_trait;
use cayenne_format::{BlockChecksums, Error, FileId, Result, TableId};
use moka::sync::Cache;

/// The block checksums of about a thousand files of 256 MiB; those of smaller files take proportionally less.
const CACHE_BYTES: u64 = 32 * 1024 * 1024;

/// Loads the block checksums of data files.
#[async_trait]
pub trait LoadBlocks: fmt::Debug + Send + Sync {
    /// Returns the checksums of the blocks of `file`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`](cayenne_format::ErrorKind::NotFound) if there are none, or the reason why loading
    /// failed.
    async fn load_blocks(&self, table: TableId, file: FileId) -> Result<BlockChecksums>;
}

/// Returns the checksums in the map, whatever the table.
#[async_trait]
impl<S: BuildHasher + Send + Sync> LoadBlocks for HashMap<FileId, BlockChecksums, S> {
    async fn load_blocks(&self, table: TableId, file: FileId) -> Result<BlockChecksums> {
        self.get(&file).cloned().ok_or_else(|| {
            Error::not_found("a data file has no block checksums").with("file", file).with("table", table)
        })
    }
}

/// Block checksums that were needed recently.
#[derive(Debug)]
pub(crate) struct BlockCache(Cache<FileId, Arc<BlockChecksums>>);

impl BlockCache {
    pub(crate) fn new() -> Self {
        let cache = Cache::builder()
            .name("cayenne.blocks")
            .max_capacity(CACHE_BYTES)
            .weigher(|_: &FileId, blocks: &Arc<BlockChecksums>| {
                u32::try_from(blocks.len().saturating_mul(8).saturating_add(128)).unwrap_or(u32::MAX)
            })
            .build();
        Self(cache)
    }

    pub(crate) async fn load(
        &self,
        from: &dyn LoadBlocks,
        table: TableId,
        file: FileId,
    ) -> Result<Arc<BlockChecksums>> {
        if let Some(blocks) = self.0.get(&file) {
            return Ok(blocks);
        }
        let blocks = Arc::new(from.load_blocks(table, file).await?);
        self.0.insert(file, Arc::clone(&blocks));
        Ok(blocks)
    }

    pub(crate) fn insert(&self, file: FileId, blocks: BlockChecksums) {
        self.0.insert(file, Arc::new(blocks));
    }

    pub(crate) fn forget(&self, file: FileId) {
        self.0.invalidate(&file);
    }
}
