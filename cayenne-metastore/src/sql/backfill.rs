//! Writes the WAL back in a thread of its own, so that no commit has to.

use cayenne_format::Result;
use crossbeam_channel::{Receiver, Sender, TrySendError};

use super::Backfill;
use super::writer::Worker;

/// Number of transactions after which the WAL is written back. It is large enough that the flushes cost little, and
/// small enough that the WAL starts over before it is long.
const TRANSACTIONS: u64 = 64;

/// WAL growth in bytes after which it is also written back.
const GROWTH_BYTES: u64 = 8 * 1024 * 1024;

/// The thread that writes the WAL back, and the counters since its last request.
pub(super) struct Backfiller {
    /// Holds at most one request, since a second one would ask for the same work.
    requests: Sender<()>,
    worker: Worker,
    transactions: u64,
    wal_bytes: u64,
}

impl Backfiller {
    pub(super) fn start(backfill: Backfill) -> Result<Self> {
        let (requests, asked) = crossbeam_channel::bounded(1);
        let worker = Worker::start("cayenne-backfill", move || {
            work(&asked, backfill);
            Ok(())
        })?;
        Ok(Self { requests, worker, transactions: 0, wal_bytes: 0 })
    }

    /// Counts transactions and asks the thread to write the WAL back once a limit is reached.
    pub(super) fn note(&mut self, transactions: u64, wal_bytes: u64) {
        self.transactions += transactions;
        let has_grown = wal_bytes > self.wal_bytes.saturating_add(GROWTH_BYTES);
        if self.transactions < TRANSACTIONS && !has_grown {
            return;
        }
        if let Err(TrySendError::Full(())) = self.requests.try_send(()) {
            return;
        }
        self.transactions = 0;
        self.wal_bytes = wal_bytes;
    }

    /// Waits until the thread has finished writing back.
    pub(super) fn end(self) {
        drop(self.requests);
        self.worker.join();
    }
}

fn work(asked: &Receiver<()>, mut backfill: Backfill) {
    while asked.recv().is_ok() {
        if let Err(error) = backfill() {
            // A failure loses nothing: the WAL is complete, only longer.
            tracing::warn!(%error, "the write-ahead log was not written back");
        }
    }
}
