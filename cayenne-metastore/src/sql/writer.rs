//! The writer thread: it opens the file, groups the waiting changes, and closes the file.
//!
//! This is the only module that starts threads, including the reader threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use cayenne_format::{Error, Result, Steps};
use crossbeam_channel::Receiver;
use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};

use super::backfill::Backfiller;
use super::failure::{at, while_opening};
use super::group::{self, Job, Request};
use super::queue::{Queue, Waiting};
use super::{Connection, Primary};
use crate::place::{Occupant, Place};

/// The most changes in one transaction. It bounds how much one flush has to write, and so how long the first change
/// waits for the last.
const GROUP_MAX: usize = 256;

/// The length in bytes from which the WAL is written back and truncated: a long WAL makes reads slow and takes up disk.
const WAL_BYTES_MAX: u64 = 160 * 1024 * 1024;

/// How many more bytes the WAL may grow before the next attempt, after a reader kept it from being truncated.
const WAL_BYTES_MORE: u64 = 16 * 1024 * 1024;

/// A thread that works until its queue is closed, and reports its outcome.
#[derive(Debug)]
pub(super) struct Worker {
    ended: watch::Receiver<Option<Result<()>>>,
    handle: Mutex<Option<JoinHandle<()>>>,
}

impl Worker {
    /// Starts a thread that does `work`.
    pub(super) fn start(name: &str, work: impl FnOnce() -> Result<()> + Send + 'static) -> Result<Self> {
        let (sender, ended) = watch::channel(None);
        let thread = std::thread::Builder::new().name(name.to_owned());
        let started = thread.spawn(move || {
            sender.send_replace(Some(work()));
        });
        let handle = started.map_err(|error| Error::io("a thread of the metastore cannot be started", error))?;
        Ok(Self { ended, handle: Mutex::new(Some(handle)) })
    }

    /// Waits until the thread has ended, and returns its outcome. May be called any number of times.
    pub(super) async fn end(&self) -> Result<()> {
        let mut ended = self.ended.clone();
        let outcome = match ended.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone().unwrap_or(Ok(())),
            Err(_) => Err(Error::internal("a thread of the metastore broke off")),
        };
        // The thread has reported its outcome, so this does not wait. A panic is part of the outcome already.
        self.join();
        outcome
    }

    /// Blocks until the thread has ended.
    pub(super) fn join(&self) {
        if let Some(handle) = self.handle.lock().take() {
            let _broke_off = handle.join();
        }
    }
}

/// A handle to the writer thread.
pub(crate) struct Writer {
    queue: Queue<Box<dyn Job>>,
    worker: Worker,
    transactions: Arc<AtomicU64>,
    /// The place of the file, and the identity of the file that was opened there.
    opened: (Place, Occupant),
}

impl Writer {
    /// Opens the file with `open` on the writer thread. When this returns, the file exists and has the version of this
    /// build.
    pub(crate) async fn open<P, F>(place: Place, steps: Arc<dyn Steps>, open: F) -> Result<Self>
    where
        P: Primary + 'static,
        F: FnOnce(&Place) -> Result<P> + Send + 'static,
    {
        let (queue, jobs) = Queue::new();
        let (opened, is_open) = oneshot::channel();
        let transactions = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&transactions);
        let worker = Worker::start("cayenne-writer", move || {
            let before = place.occupant();
            let primary = match open(&place).map_err(|error| while_opening(place.path(), error)) {
                Ok(primary) => Box::new(primary),
                Err(error) => {
                    // If the caller dropped its future, no caller waits for the error.
                    let _nobody = opened.send(Err(error));
                    return Ok(());
                }
            };
            let backfiller = match primary.backfill().and_then(|found| found.map(Backfiller::start).transpose()) {
                Ok(backfiller) => backfiller,
                Err(error) => {
                    let _nobody = opened.send(Err(error));
                    return Ok(());
                }
            };
            // Another file may have replaced it while it was opened.
            if before.is_some()
                && let Err(error) = place.require(before)
            {
                let _nobody = opened.send(Err(error));
                return Ok(());
            }
            let (occupant, wal_bytes_max) = (place.occupant(), WAL_BYTES_MAX);
            let _nobody = opened.send(Ok((place.clone(), occupant)));
            Desk { primary, backfiller, place, occupant, steps, transactions: count, wal_bytes_max }.work(&jobs)
        })?;
        let opened = is_open.await.map_err(|_| Error::internal("a thread of the metastore broke off"))??;
        Ok(Self { queue, worker, transactions, opened })
    }

    /// Runs `work` in a transaction, possibly together with other changes, and returns once it is durable.
    pub(crate) async fn change<T, F>(&self, work: F) -> Result<T>
    where
        T: Send + 'static,
        F: Fn(&dyn Connection, &dyn Steps) -> Result<T> + Send + 'static,
    {
        let (request, answer) = Request::new(work);
        self.queue.put(Box::new(request)).await?;
        answer.await.unwrap_or_else(|_| {
            Err(Error::unavailable("the metastore stopped before it answered").code("commit-unknown"))
        })
    }

    /// Fails unless the opened file is still at its place.
    pub(crate) fn require_place(&self) -> Result<()> {
        let (place, occupant) = &self.opened;
        place.require(*occupant)
    }

    pub(crate) fn transactions(&self) -> u64 {
        self.transactions.load(Ordering::Relaxed)
    }

    /// Finishes the jobs in the queue, tidies up and closes the file.
    pub(crate) async fn close(&self) -> Result<()> {
        self.queue.close();
        self.worker.end().await
    }
}

/// The state of the writer thread.
struct Desk {
    primary: Box<dyn Primary>,
    backfiller: Option<Backfiller>,
    place: Place,
    /// The identity of the opened file.
    occupant: Occupant,
    steps: Arc<dyn Steps>,
    transactions: Arc<AtomicU64>,
    wal_bytes_max: u64,
}

impl Desk {
    fn work(mut self, jobs: &Receiver<Waiting<Box<dyn Job>>>) -> Result<()> {
        while let Ok(first) = jobs.recv() {
            let mut waiting = vec![first.job];
            waiting.extend(jobs.try_iter().take(GROUP_MAX - 1).map(|more| more.job));
            let done = match self.place.require(self.occupant) {
                Ok(()) => group::run(self.primary.connection(), self.steps.as_ref(), self.place.path(), waiting),
                Err(error) => group::refuse(&error, waiting),
            };
            self.transactions.fetch_add(done, Ordering::Relaxed);
            if let Some(backfiller) = &mut self.backfiller {
                backfiller.note(done, self.place.wal_bytes().unwrap_or_default());
            }
            self.bound_wal();
        }
        if let Some(backfiller) = self.backfiller.take() {
            backfiller.end();
        }
        self.primary.tidy().map_err(|error| at(self.place.path(), error))
    }

    fn bound_wal(&mut self) {
        let bytes = self.place.wal_bytes().unwrap_or_default();
        if bytes <= self.wal_bytes_max {
            return;
        }
        if let Err(error) = self.primary.checkpoint() {
            tracing::warn!(%error, metastore = %self.place.path().display(), "the write-ahead log was not cut");
        }
        let left = self.place.wal_bytes().unwrap_or_default();
        self.wal_bytes_max = WAL_BYTES_MAX.max(left.saturating_add(WAL_BYTES_MORE));
    }
}

#[cfg(test)]
mod tests {
    use cayenne_format::NoSteps;

    use super::*;
    use crate::settings::SqliteSettings;

    #[test]
    fn long_write_ahead_log_is_cut() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::find(&folder.path().join("a.db")).unwrap();
        let settings = SqliteSettings::default();
        let primary = Box::new(crate::sqlite::open(&place, &settings).unwrap());
        let transactions = Arc::default();
        let wal = place.wal_bytes();
        let steps = Arc::new(NoSteps);
        let occupant = place.occupant();
        let mut desk = Desk { primary, backfiller: None, place, occupant, steps, transactions, wal_bytes_max: 1 << 20 };
        desk.bound_wal();
        assert_eq!(desk.place.wal_bytes(), wal, "a short log is left alone");
        desk.wal_bytes_max = 1;
        desk.bound_wal();
        assert_eq!(desk.place.wal_bytes(), Some(0));
        assert_eq!(desk.wal_bytes_max, WAL_BYTES_MAX);
        desk.primary.tidy().unwrap();
    }
}
