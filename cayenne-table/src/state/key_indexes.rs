//! A cache of key indexes, within one memory limit for all tables of a database.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use cayenne_deletes::{KeyIndex, KeyPage, SmallIndex};
use cayenne_format::{Error, FileId, Result};
use cayenne_storage::BesideFile;
use moka::sync::Cache;

/// What a cached piece costs in addition to its bytes.
const OVERHEAD_BYTES: usize = 192;

/// Whether a read may wait for the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waits {
    Yes,
    No,
}

/// The code of the error for a page that is not in memory, if the read must not wait for the disk.
pub(crate) const WOULD_WAIT: &str = "would-wait";

/// Caches the pieces of key indexes that were needed recently.
pub(crate) struct KeyIndexCache(Cache<Piece, Cached>);

/// The key of a cache entry: a piece of the index of a data file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Piece {
    /// The head of an index in pages, or the whole index of an inline data file.
    Head(FileId),
    Page(FileId, usize),
}

#[derive(Clone)]
enum Cached {
    Head(FileKeys),
    Page(Arc<KeyPage>),
}

/// The key index of one data file.
#[derive(Clone)]
pub(crate) enum FileKeys {
    /// The whole index of an inline data file.
    Small(Arc<SmallIndex>),
    /// An index in pages.
    Paged(Arc<PagedIndex>),
}

/// A key index in pages.
pub(crate) struct PagedIndex {
    pub(crate) file: FileId,
    pub(crate) index: KeyIndex,
    pub(crate) pages: PageBytes,
}

/// Where the pages are.
pub(crate) enum PageBytes {
    /// In the index file next to the data file. It is kept closed, because there are as many as data files.
    File(BesideFile),
    /// In memory: the index was rebuilt because its file is missing or damaged.
    Memory(Bytes),
}

impl FileKeys {
    /// Returns whether its pages are read from a file.
    pub(crate) fn is_stored(&self) -> bool {
        matches!(self, Self::Paged(stored) if matches!(stored.pages, PageBytes::File(_)))
    }

    fn memory_bytes(&self) -> usize {
        match self {
            Self::Small(index) => index.memory_bytes(),
            Self::Paged(stored) => {
                let pages = match &stored.pages {
                    PageBytes::File(_) => 0,
                    PageBytes::Memory(bytes) => bytes.len(),
                };
                stored.index.memory_bytes() + pages
            }
        }
    }
}

impl KeyIndexCache {
    pub(crate) fn new(bytes_max: u64) -> Self {
        let weigh = |_: &Piece, cached: &Cached| {
            let bytes = match cached {
                Cached::Head(keys) => keys.memory_bytes(),
                Cached::Page(page) => page.memory_bytes(),
            };
            u32::try_from(bytes.saturating_add(OVERHEAD_BYTES)).unwrap_or(u32::MAX)
        };
        Self(Cache::builder().name("cayenne.keys").max_capacity(bytes_max).weigher(weigh).build())
    }

    /// Returns how much memory the pieces take, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.0.run_pending_tasks();
        self.0.weighted_size()
    }

    pub(crate) fn head(&self, file: FileId) -> Option<FileKeys> {
        match self.0.get(&Piece::Head(file))? {
            Cached::Head(keys) => Some(keys),
            Cached::Page(_) => None,
        }
    }

    pub(crate) fn insert_head(&self, file: FileId, keys: FileKeys) {
        self.0.insert(Piece::Head(file), Cached::Head(keys));
    }

    pub(crate) fn page(&self, file: FileId, page: usize) -> Option<Arc<KeyPage>> {
        match self.0.get(&Piece::Page(file, page))? {
            Cached::Page(page) => Some(page),
            Cached::Head(_) => None,
        }
    }

    pub(crate) fn insert_page(&self, file: FileId, number: usize, page: Arc<KeyPage>) {
        self.0.insert(Piece::Page(file, number), Cached::Page(page));
    }
}

impl PageBytes {
    /// Returns the pages for several reads: their file is opened once, if the reads may wait for the disk.
    pub(crate) fn opened(&self, waits: Waits) -> Result<Self> {
        match self {
            Self::File(file) if waits == Waits::Yes => Ok(Self::File(file.opened()?)),
            Self::File(file) => Ok(Self::File(file.clone())),
            Self::Memory(bytes) => Ok(Self::Memory(bytes.clone())),
        }
    }

    pub(crate) fn read(&self, range: Range<u64>, waits: Waits) -> Result<Bytes> {
        match self {
            Self::File(file) if waits == Waits::Yes => file.read(range),
            Self::File(_) => Err(Error::unavailable("a page of a key index is not in memory").code(WOULD_WAIT)),
            Self::Memory(bytes) => {
                let at = |place: u64| usize::try_from(place).unwrap_or(usize::MAX).min(bytes.len());
                Ok(bytes.slice(at(range.start)..at(range.end).max(at(range.start))))
            }
        }
    }
}

impl fmt::Debug for KeyIndexCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyIndexCache").field("bytes", &self.bytes()).finish()
    }
}
