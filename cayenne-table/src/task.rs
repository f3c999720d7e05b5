//! The only place of this crate that starts a task.

use std::future::Future;

use cayenne_format::{Error, Result};

/// Runs `work` to its end even if the caller stops waiting.
///
/// A commit and the swap of the view that follows it must not be torn apart by a caller that is cancelled.
pub(crate) async fn to_the_end<T: Send + 'static>(work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
    #[expect(clippy::disallowed_methods, reason = "this is the wrapper that everything else uses")]
    let task = tokio::spawn(work);
    task.await.unwrap_or_else(|error| Err(Error::internal("a commit was broken off").because(error)))
}
