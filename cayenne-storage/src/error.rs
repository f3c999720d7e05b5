//! Passing an [`Error`] through Vortex and getting it back.

use std::error::Error as StdError;
use std::io;

use cayenne_format::Error;
use vortex::error::{VortexError, vortex_err};

/// The maximum number of causes that are examined. No chain of Cayenne's is longer, but a chain may be a ring.
const CAUSES_MAX: usize = 64;

/// Returns the Cayenne error that caused `error`, if there is one.
///
/// Vortex and DataFusion wrap errors of the reader in their own; this returns the wrapped error unchanged.
#[must_use]
pub fn find_error(error: &(dyn StdError + 'static)) -> Option<Error> {
    let mut current = Some(error);
    for _ in 0..CAUSES_MAX {
        let error = current?;
        if let Some(found) = error.downcast_ref::<Error>() {
            return Some(found.clone());
        }
        // `io::Error::source` skips the error it wraps.
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        current = match wrapped {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    None
}

/// Wraps an error for Vortex.
pub(crate) fn into_vortex(error: Error) -> VortexError {
    vortex_err!(External: error)
}

/// Unwraps an error from Vortex; `otherwise` gives the error for a failure of Vortex itself.
pub(crate) fn from_vortex(error: VortexError, otherwise: impl FnOnce() -> Error) -> Error {
    find_error(&error).unwrap_or_else(|| otherwise().because(error))
}
