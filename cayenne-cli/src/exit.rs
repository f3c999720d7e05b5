//! How a command ends: the exit codes, and what is printed on the way out.

use cayenne_format::Error;
use datafusion::error::DataFusionError;

use crate::report_error;
use crate::terminal::complain;

/// Everything was done.
pub(crate) const OK: u8 = 0;
/// Something failed and was reported.
pub(crate) const FAILED: u8 = 1;
/// A check found problems. (2 is clap's: the command line is wrong.)
pub(crate) const PROBLEMS: u8 = 3;
/// Another process writes the table.
pub(crate) const LOCKED: u8 = 4;

/// Why a command ends early.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Something went wrong.
    Error(Error),
    /// Nobody reads stdout any more, as with `| head`: enough was printed.
    OutputClosed,
    /// A signal asked for it. The number is the exit code that shells expect.
    Stopped(u8),
}

impl Failure {
    /// Prints what there is to print and returns the exit code.
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
