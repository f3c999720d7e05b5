//! Writing the WAL back beside commits, so that none of them has to.

use cayenne_format::Result;
use crossbeam_channel::{Receiver, Sender, TrySendError};

use super::Backfill;
use super::writer::Worker;

/// After so many transactions the WAL is written back: seldom enough that its flushes do not count, often enough that it
/// begins anew before it is long.
const TRANSACTIONS: u64 = 64;

/// So is it when it has grown by this much.
const GROWTH_BYTES: u64 = 8 * 1024 * 1024;

/// The thread that writes the WAL back, and when it was asked to.
pub(super) struct Backfiller {
    /// Has room for one request: more would ask for the same.
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

    /// Asks for the WAL to be written back if it is time.
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

    /// Waits until nothing is written back any more.
    pub(super) fn end(self) {
        drop(self.requests);
        self.worker.join();
    }
}

fn work(asked: &Receiver<()>, mut backfill: Backfill) {
    while asked.recv().is_ok() {
        if let Err(error) = backfill() {
            // The WAL is whole without it, only longer.
            tracing::warn!(%error, "the write-ahead log was not written back");
        }
    }
}
