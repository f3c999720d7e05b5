//! The handle of this crate: the location of the files, and the state that reading and writing share.

use std::fmt;
use std::num::NonZeroUsize;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use cayenne_format::{Environment, Error, Location, Result};
use datafusion_execution::memory_pool::MemoryPool;
use vortex::session::VortexSession;

use crate::blocks::BlockCache;
use crate::cache::{CacheCounters, SegmentCache};
use crate::fs::Fs;
use crate::inline::InlineCache;
use crate::reader::{DataFileReader, ReadRequest};
use crate::session::session;
use crate::take::OpenFiles;
use crate::write::TextChoices;

/// The settings of the storage of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageSettings {
    /// The capacity of the segment cache, in bytes; 0 turns it off. Default 256 MiB.
    pub segment_cache_bytes: u64,
    /// The number of data files that one write encodes at once. Default: the number of processors.
    pub write_concurrency: NonZeroUsize,
}

impl Default for StorageSettings {
    fn default() -> Self {
        Self {
            segment_cache_bytes: 256 * 1024 * 1024,
            write_concurrency: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
        }
    }
}

/// Stores the data files of tables in folders below one root.
pub struct Storage {
    root: PathBuf,
    fs: Arc<dyn Fs>,
    environment: Environment,
    memory: Arc<dyn MemoryPool>,
    settings: StorageSettings,
    session: VortexSession,
    segments: Arc<SegmentCache>,
    blocks: Arc<BlockCache>,
    inline: InlineCache,
    text: Arc<TextChoices>,
    open_files: OpenFiles,
}

impl Storage {
    /// Returns a storage whose data locations are folders below `root`, an absolute path. It does no I/O yet.
    #[must_use]
    pub fn new(
        root: PathBuf,
        fs: Arc<dyn Fs>,
        environment: Environment,
        memory: Arc<dyn MemoryPool>,
        settings: StorageSettings,
    ) -> Self {
        let segments = Arc::new(SegmentCache::new(settings.segment_cache_bytes));
        let session = session();
        Self {
            root,
            fs,
            environment,
            memory,
            settings,
            session,
            segments,
            blocks: Arc::new(BlockCache::new()),
            inline: InlineCache::default(),
            text: Arc::default(),
            open_files: OpenFiles::new(),
        }
    }

    /// Returns the Vortex session that files are written and read with.
    #[must_use]
    pub fn session(&self) -> &VortexSession {
        &self.session
    }

    /// Returns the path of a file of a data location, from the names alone.
    #[must_use]
    pub fn path_of(&self, location: &str, file: &str) -> PathBuf {
        self.root.join(location).join(file)
    }

    /// Returns the counters of the segment cache.
    #[must_use]
    pub fn cache(&self) -> CacheCounters {
        self.segments.counters()
    }

    /// Returns a reader of one data file for Vortex. It does no I/O until bytes are requested.
    #[must_use]
    pub fn reader(&self, request: ReadRequest) -> Arc<DataFileReader> {
        let path = self.file_path(&request.location, &request.file.location);
        let fs = Arc::clone(&self.fs);
        Arc::new(DataFileReader::new(request, path, fs, Arc::clone(&self.segments), Arc::clone(&self.blocks)))
    }

    /// Returns the path of a data file, refusing names that lead out of its folder.
    pub(crate) fn file_path(&self, location: &str, file: &Location) -> Result<PathBuf> {
        match file {
            Location::Path(name) => Ok(self.folder(location)?.join(inside(name)?)),
            Location::Inline(_) => Err(Error::unsupported("rows kept in the metastore are not read from a file")),
        }
    }

    /// Returns the path of a data location, refusing names that lead out of the root.
    pub(crate) fn folder(&self, location: &str) -> Result<PathBuf> {
        Ok(self.root.join(inside(location)?))
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn fs(&self) -> &Arc<dyn Fs> {
        &self.fs
    }

    pub(crate) fn environment(&self) -> &Environment {
        &self.environment
    }

    pub(crate) fn text_choices(&self) -> &Arc<TextChoices> {
        &self.text
    }

    /// Returns the pool that is charged if a request names no other.
    #[must_use]
    pub fn memory(&self) -> &Arc<dyn MemoryPool> {
        &self.memory
    }

    /// Returns the settings.
    #[must_use]
    pub fn settings(&self) -> &StorageSettings {
        &self.settings
    }

    pub(crate) fn segments(&self) -> &Arc<SegmentCache> {
        &self.segments
    }

    pub(crate) fn inline(&self) -> &InlineCache {
        &self.inline
    }

    pub(crate) fn open_files(&self) -> &OpenFiles {
        &self.open_files
    }

    pub(crate) fn blocks(&self) -> &Arc<BlockCache> {
        &self.blocks
    }
}

/// Checks that a stored name is not empty and leads only downwards.
pub(crate) fn inside(name: &str) -> Result<&Path> {
    let path = Path::new(name);
    let mut parts = path.components().peekable();
    if parts.peek().is_none() || !parts.all(|part| matches!(part, Component::Normal(_))) {
        return Err(Error::corrupt("a stored name points outside its folder")
            .code("name-outside-folder")
            .with("name", name));
    }
    Ok(path)
}

impl fmt::Debug for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Storage").field("root", &self.root).field("settings", &self.settings).finish_non_exhaustive()
    }
}
