//! The only place of this crate that starts tasks and threads.

use std::future::Future;

use cayenne_format::{Error, Result};
use tokio::sync::watch;

/// Runs `work` to its end even if the caller stops waiting.
///
/// A commit and the swap of the view that follows it must not be torn apart by a caller that is cancelled.
pub(crate) async fn to_the_end<T: Send + 'static>(work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
    #[expect(clippy::disallowed_methods, reason = "this is the wrapper that everything else uses")]
    let task = tokio::spawn(work);
    task.await.unwrap_or_else(|error| Err(Error::internal("a change was broken off").because(error)))
}

/// Work that goes on in a thread of its own.
#[derive(Debug)]
pub(crate) struct Background {
    has_ended: watch::Receiver<bool>,
}

impl Background {
    pub(crate) fn has_ended(&self) -> bool {
        *self.has_ended.borrow()
    }

    /// Waits until the work has come to its end.
    pub(crate) async fn end(mut self) {
        // A thread that broke off has ended as well.
        self.has_ended.wait_for(|has_ended| *has_ended).await.ok();
    }
}

/// Does `work` beside everything else, on one thread with a small runtime of its own: however much it computes, it takes
/// no turn from those who wait for a commit, and at most one processor.
pub(crate) fn in_background(name: &str, work: impl Future<Output = ()> + Send + 'static) -> Result<Background> {
    let cannot = |error| Error::io("a thread for work in the background cannot be started", error);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(cannot)?;
    let (ended, has_ended) = watch::channel(false);
    let thread = std::thread::Builder::new().name(name.to_owned());
    // It is waited for through the channel; the thread itself ends right after.
    thread
        .spawn(move || {
            runtime.block_on(work);
            ended.send_replace(true);
        })
        .map_err(cannot)?;
    Ok(Background { has_ended })
}
