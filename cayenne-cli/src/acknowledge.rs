//! `--acknowledge`: prints one line for each statement once its effect is durable.

use crate::exit::{self, Failure, code_of};
use crate::report_error;
use crate::terminal::Terminal;

/// Prints the answers to statements, and remembers the exit code of the first failure.
#[derive(Debug)]
pub(crate) struct Acknowledgements {
    exit_code: u8,
}

impl Default for Acknowledgements {
    fn default() -> Self {
        Self { exit_code: exit::OK }
    }
}

impl Acknowledgements {
    /// Prints `OK n` or `ERR code message`. Prints nothing for a text without a statement.
    pub(crate) fn answer(
        &mut self,
        done: Result<Option<u64>, Failure>,
        terminal: &mut Terminal,
    ) -> Result<(), Failure> {
        let line = match done {
            Ok(None) => return Ok(()),
            Ok(Some(rows)) => format!("OK {rows}\n"),
            Err(Failure::Error(error)) => {
                if self.exit_code == exit::OK {
                    self.exit_code = code_of(&error);
                }
                format!("ERR {}\n", report_error::one_line(&error))
            }
            Err(failure) => return Err(failure),
        };
        terminal.write(line.as_bytes())?;
        terminal.flush()
    }

    /// Returns the exit code of the first statement that failed.
    pub(crate) fn exit_code(&self) -> u8 {
        self.exit_code
    }
}
