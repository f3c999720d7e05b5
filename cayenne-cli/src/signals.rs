//! SIGINT and SIGTERM: the first one ends the command in an orderly way, the second one at once.

use std::future::Future;

use cayenne_format::{Error, Result};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The exit code that shells expect after SIGINT.
const INTERRUPTED: u8 = 130;
/// The exit code that shells expect after SIGTERM.
const TERMINATED: u8 = 143;

/// Listens to the signals that ask the process to end.
#[derive(Debug)]
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Starts listening. From then on the signals no longer end the process by themselves.
    pub(crate) fn listen() -> Result<Self> {
        let listen = |kind| signal(kind).map_err(|error| Error::io("cannot listen to signals", error));
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    /// Waits for SIGINT.
    pub(crate) async fn interrupt(&mut self) {
        self.interrupt.recv().await;
    }

    /// Runs `work` until it is done or a signal arrives. On a signal it drops `work` and returns the exit code.
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
