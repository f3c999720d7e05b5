//! The only place in this crate that starts tasks. The caller owns the task that it starts: dropping a [`Task`] stops
//! it.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use cayenne_format::{Error, Result};
use futures::FutureExt as _;
use tokio::task::JoinHandle;

/// A task that is stopped when this is dropped. Awaiting it gives its result.
///
/// A future stops at its next await. Work that has begun on a blocking thread runs to its end.
#[derive(Debug)]
#[must_use = "a task is stopped when this is dropped"]
pub struct Task<T>(JoinHandle<T>);

impl<T> Task<T> {
    /// Stops the task without waiting for its end; awaiting it afterwards waits.
    pub fn stop(&self) {
        self.0.abort();
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl<T> Future for Task<T> {
    /// [`ErrorKind::Internal`](cayenne_format::ErrorKind::Internal) if the task panicked,
    /// [`ErrorKind::Unavailable`](cayenne_format::ErrorKind::Unavailable) if it was stopped or the runtime is shutting
    /// down.
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(ready!(Pin::new(&mut self.0).poll(cx)).map_err(|error| {
            if error.is_panic() {
                panicked(error.into_panic().as_ref())
            } else {
                Error::unavailable("a task was stopped before its end")
            }
        }))
    }
}

/// Runs `future` concurrently with the caller.
///
/// # Panics
///
/// Outside a Tokio runtime.
#[expect(clippy::disallowed_methods, reason = "this is the wrapper that everything else uses")]
pub fn spawn<F>(future: F) -> Task<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    Task(tokio::task::spawn(future))
}

/// Runs `work` on a thread that may block.
///
/// # Panics
///
/// Outside a Tokio runtime.
#[expect(clippy::disallowed_methods, reason = "this is the wrapper that everything else uses")]
pub fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Task<T> {
    Task(tokio::task::spawn_blocking(work))
}

/// Runs `future` in the caller's task; a panic in it becomes an error.
pub(crate) async fn caught<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    AssertUnwindSafe(future).catch_unwind().await.unwrap_or_else(|payload| Err(panicked(payload.as_ref())))
}

/// Returns the error for a caught panic.
pub(crate) fn panicked(payload: &(dyn Any + Send)) -> Error {
    let text = payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_default();
    Error::internal("a task panicked").code("panic").with("panic", text)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use cayenne_format::ErrorKind;
    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_error_with_its_words() {
        let error = spawn(async { panic!("all {} lost", "is") }).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal);
        assert!(error.to_string().contains("all is lost"), "{error}");
        assert!(blocking(|| panic!("lost")).await.is_err());
    }

    #[tokio::test]
    async fn a_dropped_task_stops() {
        struct Told(Arc<Notify>);
        impl Drop for Told {
            fn drop(&mut self) {
                self.0.notify_one();
            }
        }
        let stopped = Arc::new(Notify::new());
        let told = Told(Arc::clone(&stopped));
        let task = spawn(async move {
            tokio::time::sleep(Duration::from_mins(10)).await;
            drop(told);
        });
        tokio::task::yield_now().await;
        drop(task);
        tokio::time::timeout(Duration::from_secs(10), stopped.notified()).await.unwrap();
    }
}
