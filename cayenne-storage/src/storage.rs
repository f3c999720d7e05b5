//! The handle of this crate: where the files are, and what reading and writing them share.

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

/// How the storage of a process works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageSettings {
    /// The bytes that the segment cache may hold; 0 turns it off. Default 256 MiB.
    pub segment_cache_bytes: u64,
    /// How many data files one write encodes at once. Default: as many as there are processors.
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

/// Keeps the data files of tables in folders below one root.
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
    /// Returns a storage whose data locations are folders below `root`, an absolute path. It touches nothing yet.
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

    /// Returns where a file of a data location is. Only the text is looked at.
    #[must_use]
    pub fn path_of(&self, location: &str, file: &str) -> PathBuf {
        self.root.join(location).join(file)
    }

    /// Returns how the segment cache has done.
    #[must_use]
    pub fn cache(&self) -> CacheCounters {
        self.segments.counters()
    }

    /// Returns a reader of one data file for Vortex. It touches nothing until it is asked for bytes.
    #[must_use]
    pub fn reader(&self, request: ReadRequest) -> Arc<DataFileReader> {
        let path = self.file_path(&request.location, &request.file.location);
        let fs = Arc::clone(&self.fs);
        Arc::new(DataFileReader::new(request, path, fs, Arc::clone(&self.segments), Arc::clone(&self.blocks)))
    }

    /// Returns where a data file is, refusing names that lead out of its folder.
    pub(crate) fn file_path(&self, location: &str, file: &Location) -> Result<PathBuf> {
        match file {
            Location::Path(name) => Ok(self.folder(location)?.join(inside(name)?)),
            Location::Inline(_) => Err(Error::unsupported("rows kept in the metastore are not read from a file")),
        }
    }

    /// Returns where a data location is, refusing names that lead out of the root.
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

    /// Returns the pool that is charged where a request names no other.
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

/// Says that a stored name goes down only, and somewhere.
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
