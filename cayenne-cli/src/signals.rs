//! SIGINT and SIGTERM: the first asks for an orderly end, the second for an end at once.

use std::future::Future;

use cayenne_format::{Error, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What shells expect of a process that ended because of SIGINT.
const INTERRUPTED: u8 = 130;
/// What shells expect of a process that ended because of SIGTERM.
const TERMINATED: u8 = 143;

/// Listens to the signals that ask the process to end.
#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Begins to listen. From here on the signals no longer end the process by themselves.
    pub(crate) fn listen() -> Result<Self> {
        let listen = |kind| signal(kind).map_err(|error| Error::io("cannot listen to signals", error));
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    /// Waits for SIGINT.
    pub(crate) async fn interrupt(&mut self) {
        self.interrupt.recv().await;
    }

    /// Runs `work` until it is done or a signal comes; then it is dropped and the exit code returned.
    pub(crate) async fn unless_stopped<T>(&mut self, work: impl Future<Output = T>) -> Result<T, u8> {
        tokio::select! {
            done = work => Ok(done),
            _ = self.interrupt.recv() => Err(INTERRUPTED),
            _ = self.terminate.recv() => Err(TERMINATED),
        }
    }

    /// As [`unless_stopped`](Self::unless_stopped), but leaves SIGINT to `work`.
    pub(crate) async fn unless_terminated<T>(&mut self, work: impl Future<Output = T>) -> Result<T, u8> {
        tokio::select! {
            done = work => Ok(done),
            _ = self.terminate.recv() => Err(TERMINATED),
        }
    }
}
