//! Rows in, durable data files out.
//!
//! A task of its own writes each stream of rows, which becomes one or more files in the order of the stream. A file is
//! complete, digested and flushed before its record is returned; nothing references it until it is committed.

mod encode;
mod file;
mod gate;
mod gather;
mod index;
mod inline;
mod sink;
mod sizing;
mod stats;
mod text_compressor;
mod weight;
mod wide;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_schema::SchemaRef;
use cayenne_format::{Error, NewDataFile, Result, Step, TableOptions, path};
use datafusion_execution::memory_pool::MemoryPool;
use futures::StreamExt as _;
use futures::stream::{BoxStream, FuturesUnordered};
use vortex::session::VortexSession;

pub use encode::file_schema;
pub(crate) use encode::file_type;
pub(crate) use gate::Gate;
pub use index::{IndexRows, RowIndex};
pub(crate) use sizing::BLOCK_BYTES;
pub(crate) use text_compressor::TextChoices;
pub(crate) use weight::batch_bytes;
pub(crate) use wide::{retype, wide_type};

use crate::fs::Fs;
use crate::storage::Storage;
use crate::task::{self, Task};
use file::Rows;
use gate::CloseOnDrop;
use gather::{Gathered, again, gather};
use inline::Inlined;
use sizing::LastRatio;

/// Incoming rows, batch by batch.
pub type RowStream = BoxStream<'static, Result<arrow_array::RecordBatch>>;

/// What to write, and where.
pub struct WriteRequest {
    /// The data location of the table: a folder below the root of the storage, which exists.
    pub location: String,
    /// The stored schema of the table.
    pub schema: SchemaRef,
    /// The options of the table: how large files become and how they are compressed.
    pub options: TableOptions,
    /// The rows. Each stream has files of its own, in its order; at most
    /// [`write_concurrency`](crate::StorageSettings::write_concurrency) streams are read at once.
    pub rows: Vec<RowStream>,
    /// Makes an index of the rows of each data file, if the table has one.
    pub index: Option<Arc<dyn IndexRows>>,
    /// The pool that is charged with the memory of the write; `None` for the pool of the storage.
    pub memory: Option<Arc<dyn MemoryPool>>,
}

/// The state that the streams of one write share.
struct Write {
    session: VortexSession,
    memory: Arc<dyn MemoryPool>,
    ids: Arc<dyn cayenne_format::Ids>,
    folder: PathBuf,
    gate: Arc<Gate>,
    schema: SchemaRef,
    always_wide: Vec<bool>,
    options: TableOptions,
    ratio: LastRatio,
    text: Arc<TextChoices>,
    index: Option<Arc<dyn IndexRows>>,
}

impl Storage {
    /// Writes rows as data files of about the target size, or as one inline data file if the options of the table admit
    /// it. An inline data file is durable only once it is committed.
    ///
    /// The files and their names are on disk when this returns. A write without rows makes no file. Memory is bounded
    /// by the number of streams that are written at once, and charged to the pool. After an error the files are removed
    /// again. If the future is dropped, they are left behind, and nothing references them.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`](cayenne_format::ErrorKind::Invalid) for rows that do not fit the schema;
    /// [`ErrorKind::ResourceLimit`](cayenne_format::ErrorKind::ResourceLimit) if the disk is full or the pool refuses
    /// memory; the error of a stream of rows; or an I/O error.
    pub async fn write(&self, mut request: WriteRequest) -> Result<Vec<NewDataFile>> {
        if request.options.inline.is_on() {
            match task::caught(gather(request.rows, &request.options.inline)).await? {
                Gathered::Few(rows) => match self.inline_file(&request.schema, &request.options, &rows)? {
                    Inlined::Nothing => return Ok(Vec::new()),
                    Inlined::File(file) => return Ok(vec![*file]),
                    Inlined::TooLong => request.rows = again(rows),
                },
                Gathered::Many(rows) => request.rows = rows,
            }
        }
        self.write_files(request).await
    }

    async fn write_files(&self, request: WriteRequest) -> Result<Vec<NewDataFile>> {
        let gate = Arc::new(Gate::new(Arc::clone(self.fs()), self.environment().clone()));
        let _open = CloseOnDrop(Arc::clone(&gate));
        let written = self.write_streams(Arc::clone(&gate), request).await;
        match written {
            Ok(files) => {
                for new in &files {
                    self.blocks().insert(new.file.id, new.blocks.clone());
                }
                Ok(files)
            }
            Err(error) => {
                task::blocking(move || gate.close_and_remove()).await?;
                Err(error)
            }
        }
    }

    async fn write_streams(&self, gate: Arc<Gate>, request: WriteRequest) -> Result<Vec<NewDataFile>> {
        let WriteRequest { location, schema, options, rows, index, memory } = request;
        let has_index = index.is_some();
        let folder = self.folder(&location)?;
        let write = Arc::new(Write {
            session: self.session().clone(),
            memory: memory.unwrap_or_else(|| Arc::clone(self.memory())),
            ids: Arc::clone(&self.environment().ids),
            folder: folder.clone(),
            gate: Arc::clone(&gate),
            always_wide: wide::always_wide(self.session(), &schema),
            schema,
            options,
            ratio: LastRatio::default(),
            text: Arc::clone(self.text_choices()),
            index,
        });
        let files = write_each(&write, rows, self.settings().write_concurrency).await?;
        if files.is_empty() {
            return Ok(files);
        }
        let fs = Arc::clone(self.fs());
        task::blocking(move || {
            gate.pass(|| {
                if has_index {
                    sync_folder(fs.as_ref(), &gate, &folder.join(path::KEY_FOLDER))?;
                }
                sync_folder(fs.as_ref(), &gate, &folder)
            })
        })
        .await??;
        Ok(files)
    }
}

/// Writes each stream in a task of its own, at most `at_once` at a time, and returns the files in the order of the
/// streams.
async fn write_each(write: &Arc<Write>, rows: Vec<RowStream>, at_once: NonZeroUsize) -> Result<Vec<NewDataFile>> {
    let mut waiting = rows.into_iter().enumerate();
    let mut running = FuturesUnordered::new();
    let mut written = BTreeMap::new();
    loop {
        while running.len() < at_once.get()
            && let Some((place, rows)) = waiting.next()
        {
            running.push(task::spawn(write_stream(Arc::clone(write), place, rows)));
        }
        match running.next().await {
            None => return Ok(written.into_values().flatten().collect()),
            Some(Ok(Ok((place, files)))) => {
                written.insert(place, files);
            }
            Some(Ok(Err(error)) | Err(error)) => {
                // The other tasks hold memory and files: they have ended before the error is returned.
                running.iter().for_each(Task::stop);
                while running.next().await.is_some() {}
                return Err(error);
            }
        }
    }
}

async fn write_stream(write: Arc<Write>, place: usize, rows: RowStream) -> Result<(usize, Vec<NewDataFile>)> {
    let mut rows = Rows::new(&write, rows);
    let mut files = Vec::new();
    while let Some(first) = rows.next().await? {
        files.push(write.file(first, &mut rows).await?);
    }
    Ok((place, files))
}

/// Flushes the names of the new files.
fn sync_folder(fs: &dyn Fs, gate: &Gate, folder: &Path) -> Result<()> {
    gate.before(Step::SyncFolder)?;
    fs.sync_dir(folder)
        .map_err(|error| Error::io("could not flush a folder to the disk", error).with("folder", folder.display()))
}
