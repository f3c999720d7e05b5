//! The way into a thread: a bounded queue that is entered without blocking, under any executor.

use std::sync::Arc;

use cayenne_format::{Error, Result};
use crossbeam_channel::{Receiver, Sender};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many jobs may wait for a thread. Each waits for one caller, who waits for it: more than this many callers at once
/// are better kept waiting outside, where they hold no copy of their commit.
const WAITING_MAX: usize = 1024;

/// The entrance of a queue. Dropping it lets the thread finish what is in the queue and end.
pub(super) struct Queue<J> {
    room: Arc<Semaphore>,
    /// `None` once closed.
    sender: Mutex<Option<Sender<Waiting<J>>>>,
}

/// A job in the queue, and the room it takes there.
pub(super) struct Waiting<J> {
    pub(super) job: J,
    _room: OwnedSemaphorePermit,
}

impl<J> Queue<J> {
    pub(super) fn new() -> (Self, Receiver<Waiting<J>>) {
        let (sender, receiver) = crossbeam_channel::bounded(WAITING_MAX);
        let room = Arc::new(Semaphore::new(WAITING_MAX));
        (Self { room, sender: Mutex::new(Some(sender)) }, receiver)
    }

    /// Puts a job into the queue, as soon as there is room. From then on it is done even if nobody waits for it.
    pub(super) async fn put(&self, job: J) -> Result<()> {
        let room = Arc::clone(&self.room).acquire_owned().await.map_err(|_| closed())?;
        let sender = self.sender.lock();
        // The channel has a place for every permit, so this fails only where the thread has ended.
        sender.as_ref().ok_or_else(closed)?.try_send(Waiting { job, _room: room }).map_err(|_| closed())
    }

    /// Lets no more jobs in. Those in the queue are still done.
    pub(super) fn close(&self) {
        self.room.close();
        *self.sender.lock() = None;
    }
}

/// The error for everything that is asked of a closed metastore.
pub(super) fn closed() -> Error {
    Error::unavailable("the metastore is closed").code("closed")
}
