//! The output streams of the process: rows go to stdout, everything else to stderr.

use std::io::{BufWriter, IsTerminal, Write};

use cayenne_format::Error;
use tracing_subscriber::EnvFilter;

use crate::args::Format;
use crate::escape::escaped;
use crate::exit::Failure;

/// The output of the command.
#[derive(Debug)]
pub(crate) struct Terminal {
    /// The format in which rows are printed.
    pub(crate) format: Format,
    /// Whether a text table has one line for each value.
    pub(crate) is_expanded: bool,
    quiet: bool,
    out: BufWriter<std::io::Stdout>,
}

impl Terminal {
    /// Returns the streams of this process.
    pub(crate) fn new(format: Format, quiet: bool) -> Self {
        Self { format, is_expanded: false, quiet, out: BufWriter::with_capacity(64 * 1024, std::io::stdout()) }
    }

    /// Writes to stdout.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.out.write_all(bytes).map_err(output_failed)
    }

    /// Flushes everything written so far to stdout.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        self.out.flush().map_err(output_failed)
    }

    /// Prints a note to stderr, unless the command is quiet.
    pub(crate) fn note(&self, text: &str) {
        if !self.quiet {
            complain(&format!("{}\n", escaped(text)));
        }
    }

    /// Returns whether stderr is a terminal and the command is not quiet.
    pub(crate) fn is_watched(&self) -> bool {
        !self.quiet && std::io::stderr().is_terminal()
    }
}

/// Writes to stderr. A failure is ignored, since it cannot be reported.
pub(crate) fn complain(text: &str) {
    std::io::stderr().lock().write_all(text.as_bytes()).ok();
}

fn output_failed(error: std::io::Error) -> Failure {
    match error.kind() {
        std::io::ErrorKind::BrokenPipe => Failure::OutputClosed,
        _ => Failure::Error(Error::io("cannot write to stdout", error)),
    }
}

/// Sends the log of the libraries to stderr. The variable `CAYENNE_LOG` overrides `level`.
pub(crate) fn log_to_stderr(level: &str) {
    let filter = EnvFilter::try_from_env("CAYENNE_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
}
