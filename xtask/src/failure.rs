//! Why a command stopped, for the person at the terminal.

use std::fmt;
use std::io;
use std::path::Path;

/// What every fallible function of this crate returns.
pub(crate) type Result<T> = std::result::Result<T, Failure>;

/// One sentence that says what went wrong and, where it is known, what to do about it.
#[derive(Debug, PartialEq)]
pub(crate) struct Failure(String);

impl Failure {
    /// Wraps a sentence.
    pub(crate) fn new(sentence: impl Into<String>) -> Self {
        Self(sentence.into())
    }

    /// Says which file or folder an I/O error is about; the error itself does not.
    pub(crate) fn at(path: &Path, error: &io::Error) -> Self {
        Self(format!("{}: {error}", path.display()))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}
