//! Blocking on asynchronous work inside DataFusion's synchronous hooks.

use std::future::Future;
use std::thread;

use cayenne_format::{Error, Result};

/// Runs `work` to completion on a thread of its own and blocks until it is done.
///
/// Some catalog and function traits of DataFusion are synchronous while the database is asynchronous. The thread has
/// its own single-threaded runtime, so blocking is safe whether or not the caller runs inside a runtime.
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
