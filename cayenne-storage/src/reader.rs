//! The only path of bytes from disk to Vortex: they are verified against their block checksums before they are used.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use cayenne_format::{BLOCK_BYTES, BlockChecksums, DataFile, Error, Result, TableId};
use datafusion_execution::memory_pool::MemoryPool;
use futures::future::BoxFuture;
use futures::{FutureExt as _, future};
use tokio::sync::OnceCell;
use vortex::array::ArrayRef;
use vortex::array::buffer::BufferHandle;
use vortex::buffer::{Alignment, ByteBuffer, ByteBufferMut};
use vortex::error::VortexResult;
use vortex::io::{CoalesceConfig, VortexReadAt};

use crate::blocks::{BlockCache, LoadBlocks};
use crate::cache::{SegmentCache, SegmentKey};
use crate::error::into_vortex;
use crate::fs::{Fs, ReadFile};
use crate::task;

/// The number of concurrent reads of one file. Local reads mostly copy from the page cache, so more would only queue.
const CONCURRENCY: usize = 8;

/// A longer piece is read by a blocking thread even if it is in memory: copying it would delay other tasks.
const COPIED_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The file to read, and the source of its checksums.
#[derive(Clone, Debug)]
pub struct ReadRequest {
    /// The data location of the table: a folder below the root of the storage.
    pub location: String,
    /// The table, for messages and for loading checksums.
    pub table: TableId,
    /// The file.
    pub file: Arc<DataFile>,
    /// Loads its block checksums.
    pub blocks: Arc<dyn LoadBlocks>,
    /// Counts what is read.
    pub counters: Arc<ReadCounters>,
    /// The pool that is charged with the memory of whole batches; `None` for the pool of the storage.
    pub memory: Option<Arc<dyn MemoryPool>>,
    /// Whether the bytes are not needed again, as when a file is rewritten: they then evict nothing from the cache.
    pub is_last: bool,
}

/// The read counters of one scan.
#[derive(Debug, Default)]
pub struct ReadCounters {
    /// The number of reads that Vortex requested.
    pub requests: AtomicU64,
    /// The number of bytes that Vortex requested.
    pub bytes_requested: AtomicU64,
    /// The number of bytes that were read from disk, in whole blocks.
    pub bytes_read: AtomicU64,
    /// Reads answered from the segment cache.
    pub cache_hits: AtomicU64,
    /// Reads that went to the disk.
    pub cache_misses: AtomicU64,
    failure: OnceLock<Error>,
}

impl ReadCounters {
    /// Returns the first error of a reader that uses these counters.
    ///
    /// Layers above that turn an error into text lose its kind; here the error is kept unchanged.
    #[must_use]
    pub fn failure(&self) -> Option<Error> {
        self.failure.get().cloned()
    }
}

/// Reads one data file for Vortex.
///
/// A read is answered from the segment cache, or from disk in whole blocks, each of which is verified. The first read
/// that the cache cannot answer opens the file and loads its checksums.
#[derive(Clone)]
pub struct DataFileReader(Arc<Inner>);

struct Inner {
    request: ReadRequest,
    /// The path, or the reason why there is none.
    path: Result<PathBuf>,
    uri: Arc<str>,
    fs: Arc<dyn Fs>,
    segments: Arc<SegmentCache>,
    blocks: Arc<BlockCache>,
    open: OnceCell<Arc<Open>>,
}

struct Open {
    file: Arc<dyn ReadFile>,
    path: PathBuf,
    bytes: u64,
    table: TableId,
    blocks: Arc<BlockChecksums>,
}

impl DataFileReader {
    pub(crate) fn new(
        request: ReadRequest,
        path: Result<PathBuf>,
        fs: Arc<dyn Fs>,
        segments: Arc<SegmentCache>,
        blocks: Arc<BlockCache>,
    ) -> Self {
        let uri = path.as_ref().map_or_else(|_| String::new(), |path| path.display().to_string()).into();
        Self(Arc::new(Inner { request, path, uri, fs, segments, blocks, open: OnceCell::new() }))
    }
}

impl fmt::Debug for DataFileReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataFileReader").field("file", &self.0.uri).finish_non_exhaustive()
    }
}

impl VortexReadAt for DataFileReader {
    fn uri(&self) -> Option<&Arc<str>> {
        Some(&self.0.uri)
    }

    /// Reads are not coalesced: each is one segment, and the cache keeps segments.
    fn coalesce_config(&self) -> Option<CoalesceConfig> {
        None
    }

    fn concurrency(&self) -> usize {
        CONCURRENCY
    }

    fn size(&self) -> BoxFuture<'static, VortexResult<u64>> {
        future::ready(Ok(self.0.request.file.bytes)).boxed()
    }

    fn read_at(
        &self,
        offset: u64,
        length: usize,
        alignment: Alignment,
    ) -> BoxFuture<'static, VortexResult<BufferHandle>> {
        let counters = &self.0.request.counters;
        counters.requests.fetch_add(1, Ordering::Relaxed);
        counters.bytes_requested.fetch_add(length as u64, Ordering::Relaxed);
        let key = self.key(offset, length);
        if let Some(bytes) = self.0.segments.get(&key) {
            counters.cache_hits.fetch_add(1, Ordering::Relaxed);
            return future::ready(Ok(BufferHandle::new_host(bytes.aligned(alignment)))).boxed();
        }
        counters.cache_misses.fetch_add(1, Ordering::Relaxed);
        let inner = Arc::clone(&self.0);
        async move {
            match inner.fetch(key, alignment).await {
                Ok(bytes) => Ok(BufferHandle::new_host(bytes)),
                Err(error) => {
                    // Only the first error is kept: later ones usually follow from it.
                    let _kept = inner.request.counters.failure.set(error.clone());
                    Err(into_vortex(error))
                }
            }
        }
        .boxed()
    }
}

impl DataFileReader {
    /// Returns the array that a segment holds, if the segment cache has it.
    pub(crate) fn cached_array(&self, offset: u64, length: usize) -> Option<ArrayRef> {
        let counters = &self.0.request.counters;
        let array = self.0.segments.array(&self.key(offset, length))?;
        for counter in [&counters.requests, &counters.cache_hits] {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        counters.bytes_requested.fetch_add(length as u64, Ordering::Relaxed);
        Some(array)
    }

    /// Caches the array that a segment holds, if the segment cache has the segment.
    pub(crate) fn cache_array(&self, offset: u64, length: usize, array: &ArrayRef) {
        self.0.segments.keep_array(self.key(offset, length), array);
    }

    fn key(&self, offset: u64, length: usize) -> SegmentKey {
        SegmentKey { file: self.0.request.file.id, offset, length }
    }
}

impl Inner {
    async fn fetch(self: &Arc<Self>, key: SegmentKey, alignment: Alignment) -> Result<ByteBuffer> {
        let open = Arc::clone(self.open.get_or_try_init(|| self.open()).await?);
        let span = open.span(&key)?;
        let bytes = match open.read_cached(&span, alignment)? {
            Some(bytes) => bytes,
            None => task::blocking(move || open.read(&span, alignment)).await??,
        };
        self.request.counters.bytes_read.fetch_add(span.blocks_length as u64, Ordering::Relaxed);
        if !self.request.is_last && self.segments.admits(&key) {
            self.segments.insert(key, bytes.clone());
        }
        Ok(bytes)
    }

    async fn open(self: &Arc<Self>) -> Result<Arc<Open>> {
        let path = self.path.clone()?;
        let request = &self.request;
        let blocks = self.blocks.load(request.blocks.as_ref(), request.table, request.file.id).await?;
        let inner = Arc::clone(self);
        task::blocking(move || {
            let ReadRequest { table, file, .. } = &inner.request;
            let opened =
                open_data_file(inner.fs.as_ref(), &path, file.bytes).map_err(|error| error.with("table", table))?;
            if blocks.len() as u64 != file.bytes.div_ceil(BLOCK_BYTES) {
                return Err(Error::corrupt("the block checksums do not belong to a file of this length")
                    .code("damaged-file")
                    .with("file", path.display())
                    .with("table", table)
                    .with("blocks", blocks.len()));
            }
            Ok(Arc::new(Open { file: opened, path, bytes: file.bytes, table: *table, blocks }))
        })
        .await?
    }
}

/// Opens a data file, which must exist and have this length.
pub(crate) fn open_data_file(fs: &dyn Fs, path: &Path, bytes: u64) -> Result<Arc<dyn ReadFile>> {
    let opened = fs.open_file(path).map_err(|error| {
        let made = match error.kind() {
            io::ErrorKind::NotFound => Error::not_found("a data file of the table is missing")
                .code("missing-data-file")
                .because(error)
                .help("restore the file from a backup; 'check' lists everything that is missing"),
            io::ErrorKind::InvalidInput => {
                Error::corrupt("a data file is not a regular file").code("damaged-file").because(error)
            }
            _ => Error::io("could not open a data file", error),
        };
        made.with("file", path.display())
    })?;
    let found = opened
        .len()
        .map_err(|error| Error::io("could not read the length of a data file", error).with("file", path.display()))?;
    if found == bytes {
        return Ok(opened);
    }
    Err(Error::corrupt("the length of a data file differs from the manifest")
        .code("damaged-file")
        .with("file", path.display())
        .with("expected", bytes)
        .with("found", found))
}

/// A piece of a file, and the whole blocks around it.
#[derive(Clone, Copy)]
struct Span {
    first_block: u64,
    /// The offset of the first block in the file.
    from: u64,
    /// The length of the blocks.
    blocks_length: usize,
    /// The offset of the piece in the blocks.
    begin: usize,
    length: usize,
}

impl Span {
    fn room(&self, alignment: Alignment) -> ByteBufferMut {
        // Offsets of segments are multiples of their alignment, and so are block borders. The slice is therefore
        // aligned too.
        ByteBufferMut::zeroed_aligned(self.blocks_length, alignment.max(Alignment::DEFAULT_ALIGNMENT))
    }
}

impl Open {
    fn span(&self, key: &SegmentKey) -> Result<Span> {
        let SegmentKey { offset, length, .. } = *key;
        let end = offset.checked_add(length as u64).filter(|end| *end <= self.bytes).ok_or_else(|| {
            self.facts(Error::corrupt("a read goes beyond the end of a data file").code("damaged-file"))
                .with("offset", offset)
                .with("length", length)
        })?;
        let first_block = offset / BLOCK_BYTES;
        let from = first_block * BLOCK_BYTES;
        let to = end.next_multiple_of(BLOCK_BYTES).min(self.bytes);
        let in_memory = |bytes: u64| {
            let too_long = |error| self.facts(Error::resource_limit("a read is too long").because(error));
            usize::try_from(bytes).map_err(too_long)
        };
        Ok(Span { first_block, from, blocks_length: in_memory(to - from)?, begin: in_memory(offset - from)?, length })
    }

    /// Copies the piece if the page cache has it, which takes less time than handing the read to another thread.
    fn read_cached(&self, span: &Span, alignment: Alignment) -> Result<Option<ByteBuffer>> {
        if span.blocks_length > COPIED_BYTES_MAX {
            return Ok(None);
        }
        let mut blocks = span.room(alignment);
        if !self.file.read_cached_at(span.from, blocks.as_mut_slice()) {
            return Ok(None);
        }
        self.verified(span, blocks, alignment).map(Some)
    }

    /// Reads the piece, waiting for the disk.
    fn read(&self, span: &Span, alignment: Alignment) -> Result<ByteBuffer> {
        let mut blocks = span.room(alignment);
        self.file.read_at(span.from, blocks.as_mut_slice()).map_err(|error| {
            self.facts(Error::io("could not read a data file", error))
                .with("offset", span.from)
                .with("length", span.blocks_length)
        })?;
        self.verified(span, blocks, alignment)
    }

    /// Verifies the blocks and cuts the piece out.
    fn verified(&self, span: &Span, blocks: ByteBufferMut, alignment: Alignment) -> Result<ByteBuffer> {
        self.blocks.verify(span.first_block, blocks.as_slice()).map_err(|error| self.facts(error))?;
        let cut = blocks.freeze().slice_unaligned(span.begin..span.begin + span.length);
        Ok(if 2 * span.length < span.blocks_length {
            // A slice would keep all the blocks of a small piece in memory.
            ByteBuffer::copy_from_aligned(cut.as_slice(), alignment.max(Alignment::DEFAULT_ALIGNMENT))
        } else {
            cut.aligned(alignment)
        })
    }

    fn facts(&self, error: Error) -> Error {
        error.with("file", self.path.display()).with("table", self.table)
    }
}
