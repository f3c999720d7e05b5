//! How a command ends: the exit codes and the error output.

use cayenne_format::Error;
use datafusion::error::DataFusionError;

use crate::report_error;
use crate::terminal::complain;

/// The command succeeded.
pub(crate) const OK: u8 = 0;
/// The command failed and reported an error.
pub(crate) const FAILED: u8 = 1;
/// A check found problems. (Code 2 belongs to clap: the command line is wrong.)
pub(crate) const PROBLEMS: u8 = 3;
/// Another process writes the table.
pub(crate) const LOCKED: u8 = 4;

/// Why a command ends early.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Something went wrong.
    Error(Error),
    /// The reader of stdout has closed it, as `| head` does: enough was printed.
    OutputClosed,
    /// A signal ended the command. The number is the exit code that shells expect.
    Stopped(u8),
}

impl Failure {
    /// Prints the error, if there is one, and returns the exit code.
    pub(crate) fn report(&self) -> u8 {
        match self {
            Self::Error(error) => {
                complain(&report_error::block(error));
                code_of(error)
            }
            Self::OutputClosed => OK,
            Self::Stopped(code) => *code,
        }
    }
}

/// Returns the exit code of an error.
pub(crate) fn code_of(error: &Error) -> u8 {
    if error.stable_code() == "table-locked" { LOCKED } else { FAILED }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<DataFusionError> for Failure {
    fn from(error: DataFusionError) -> Self {
        Self::Error(cayenne_datafusion::error_of(error))
    }
}
