//! The queue of jobs for a thread. It is bounded, and works under any executor without blocking.

use std::sync::Arc;

use cayenne_format::{Error, Result};
use crossbeam_channel::{Receiver, Sender};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The number of jobs that may wait for a thread, each with one caller. Beyond this number, callers wait outside the
/// queue, where they hold no copy of their commit.
const WAITING_MAX: usize = 1024;

/// The sending end of a queue. When it is dropped, the thread finishes the jobs in the queue and ends.
pub(super) struct Queue<J> {
    room: Arc<Semaphore>,
    /// `None` once closed.
    sender: Mutex<Option<Sender<Waiting<J>>>>,
}

/// A job in the queue, and the permit for its slot.
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

    /// Puts a job into the queue as soon as there is room. The job then runs even if its caller goes away.
    pub(super) async fn put(&self, job: J) -> Result<()> {
        let room = Arc::clone(&self.room).acquire_owned().await.map_err(|_| closed())?;
        let sender = self.sender.lock();
        // The channel has a slot for every permit, so this fails only if the thread has ended.
        sender.as_ref().ok_or_else(closed)?.try_send(Waiting { job, _room: room }).map_err(|_| closed())
    }

    /// Accepts no more jobs. Those in the queue still run.
    pub(super) fn close(&self) {
        self.room.close();
        *self.sender.lock() = None;
    }
}

/// The error for every call on a closed metastore.
pub(super) fn closed() -> Error {
    Error::unavailable("the metastore is closed").code("closed")
}
