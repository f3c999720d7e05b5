//! The way of an [`Error`] through Vortex and back.

use std::error::Error as StdError;
use std::io;

use cayenne_format::Error;
use vortex::error::{VortexError, vortex_err};

/// How many causes are looked at; no chain of ours is longer, and a chain may be a ring.
const CAUSES_MAX: usize = 64;

/// Returns the Cayenne error that caused `error`, if there is one.
///
/// Vortex and DataFusion carry errors of the reader inside their own; this takes one out again, whole.
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

/// Hands an error to Vortex.
pub(crate) fn into_vortex(error: Error) -> VortexError {
    vortex_err!(External: error)
}

/// Takes an error back from Vortex; `otherwise` says what an error of Vortex's own means.
pub(crate) fn from_vortex(error: VortexError, otherwise: impl FnOnce() -> Error) -> Error {
    find_error(&error).unwrap_or_else(|| otherwise().because(error))
}
