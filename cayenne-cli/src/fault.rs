//! Panics, which are bugs of ours or of a library, become errors, so that the database is still closed and the user
//! gets a message.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;

use cayenne_format::Error;
use futures::FutureExt;

/// Sends the message of a panic to the log, as one line.
pub(crate) fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "broken off: {}", message(panic.payload()));
    }));
}

/// Runs `work` and turns a panic in it into an error of kind `Internal`.
pub(crate) async fn caught<T>(work: impl Future<Output = T>) -> Result<T, Error> {
    AssertUnwindSafe(work).catch_unwind().await.map_err(|panic| error_of_panic(panic.as_ref()))
}

/// Returns the error for a panic.
pub(crate) fn error_of_panic(panic: &(dyn Any + Send)) -> Error {
    Error::internal("the command broke off in the middle of its work")
        .help("this is a bug: please report it, with the log that -v shows")
        .because(message(panic))
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_becomes_an_error_with_its_message() {
        let error = caught(async { assert_eq!(1, 2, "one is not two") }).await.unwrap_err();
        assert_eq!(error.stable_code(), "internal");
        assert!(std::error::Error::source(&error).unwrap().to_string().contains("one is not two"));
        assert_eq!(caught(async { 7 }).await.unwrap(), 7);
    }
}
