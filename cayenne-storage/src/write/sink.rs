//! The output of one data file: a blocking thread digests, writes and flushes bytes while the next ones are encoded.

use std::io;
use std::mem;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use cayenne_format::{Error, FileDigest, FileDigester, Result, Step};
use vortex::io::{IoBuf, VortexWrite};

use crate::fs::WriteFile;
use crate::task::{self, Task};
use crate::write::gate::Gate;

/// The number of bytes that are collected before they are written: large enough that a thread is woken seldom, small
/// enough that two chunks per file are negligible.
pub(crate) const CHUNK_BYTES: usize = 1024 * 1024;

/// One data file being written. At most one chunk is being written while the next is collected.
pub(crate) struct FileSink {
    chunk: Vec<u8>,
    disk: Option<Disk>,
    under_way: Option<Task<Result<Disk>>>,
    written: Arc<AtomicU64>,
}

/// The state that the blocking thread works on. It is passed there and back.
struct Disk {
    gate: Arc<Gate>,
    path: PathBuf,
    file: Option<Box<dyn WriteFile>>,
    digester: FileDigester,
    spare: Vec<u8>,
}

impl FileSink {
    /// Returns a sink for a file that is created when the first bytes are written.
    pub(crate) fn new(gate: Arc<Gate>, path: PathBuf) -> Self {
        let disk = Disk { gate, path, file: None, digester: FileDigester::default(), spare: Vec::new() };
        Self { chunk: Vec::new(), disk: Some(disk), under_way: None, written: Arc::new(AtomicU64::new(0)) }
    }

    /// Returns the number of bytes that have left the encoder.
    pub(crate) fn written(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.written)
    }

    /// Writes what is left, flushes the file to disk and returns its digest.
    pub(crate) async fn finish(mut self) -> Result<FileDigest> {
        self.hand_over(true).await?;
        let disk = self.wait().await?;
        Ok(disk.digester.finish())
    }

    async fn hand_over(&mut self, is_last: bool) -> Result<()> {
        let mut disk = self.wait().await?;
        let chunk = mem::replace(&mut self.chunk, mem::take(&mut disk.spare));
        self.under_way = Some(task::blocking(move || disk.take(chunk, is_last)));
        Ok(())
    }

    async fn wait(&mut self) -> Result<Disk> {
        if let Some(under_way) = self.under_way.take() {
            return under_way.await?;
        }
        self.disk.take().ok_or_else(|| Error::internal("a data file is written to after an error"))
    }
}

impl Disk {
    fn take(mut self, mut chunk: Vec<u8>, is_last: bool) -> Result<Self> {
        let gate = Arc::clone(&self.gate);
        gate.pass(|| self.append(&chunk, is_last))?;
        chunk.clear();
        self.spare = chunk;
        Ok(self)
    }

    fn append(&mut self, chunk: &[u8], is_last: bool) -> Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(self.gate.create_file(&self.path)?),
        };
        let named = |message, error| Error::io(message, error).with("file", self.path.display());
        self.gate.before(Step::WriteDataFile)?;
        file.write_all(chunk).map_err(|error| named("could not write a data file", error))?;
        self.digester.feed(chunk);
        if is_last {
            self.gate.before(Step::SyncDataFile)?;
            file.sync().map_err(|error| named("could not flush a data file to the disk", error))?;
        }
        Ok(())
    }
}

impl VortexWrite for FileSink {
    async fn write_all<B: IoBuf>(&mut self, buffer: B) -> io::Result<B> {
        let bytes = buffer.as_slice();
        self.chunk.extend_from_slice(bytes);
        self.written.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        if self.chunk.len() >= CHUNK_BYTES {
            self.hand_over(false).await.map_err(io::Error::other)?;
        }
        Ok(buffer)
    }

    /// Nothing is flushed before the end: only a whole file counts.
    async fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }

    async fn shutdown(&mut self) -> io::Result<()> {
        Ok(())
    }
}
