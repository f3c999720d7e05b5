//! Waiting for asynchronous work inside DataFusion's synchronous hooks.

use std::future::Future;
use std::thread;

use cayenne_format::{Error, Result};

/// Runs `work` to its end on a thread of its own and waits for it.
///
/// The catalog and function traits of DataFusion are synchronous where ours are not. A thread with its own small
/// runtime makes waiting safe whatever runtime, or none, the caller runs on.
pub(crate) fn wait<T: Send>(work: impl Future<Output = Result<T>> + Send) -> Result<T> {
    let run = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Error::unavailable("cannot start a runtime").because(error))?
            .block_on(work)
    };
    thread::scope(|scope| scope.spawn(run).join())
        .unwrap_or_else(|_| Err(Error::internal("a catalog operation broke off")))
}
