//! The streams of the process: rows go to stdout, everything else to stderr.

use std::io::{BufWriter, IsTerminal, Write};

use cayenne_format::Error;
use tracing_subscriber::EnvFilter;

use crate::args::Format;
use crate::escape::escaped;
use crate::exit::Failure;

/// What the command prints to.
#[derive(Debug)]
pub(crate) struct Terminal {
    /// How rows are printed.
    pub(crate) format: Format,
    /// Whether a table for people has a line for each value.
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

    /// Hands everything written so far to whoever reads stdout.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        self.out.flush().map_err(output_failed)
    }

    /// Tells people something on stderr, unless they asked for quiet.
    pub(crate) fn note(&self, text: &str) {
        if !self.quiet {
            complain(&format!("{}\n", escaped(text)));
        }
    }

    /// Says whether somebody watches stderr.
    pub(crate) fn is_watched(&self) -> bool {
        !self.quiet && std::io::stderr().is_terminal()
    }
}

/// Writes to stderr. If that fails, nobody is left to tell.
pub(crate) fn complain(text: &str) {
    std::io::stderr().lock().write_all(text.as_bytes()).ok();
}

fn output_failed(error: std::io::Error) -> Failure {
    match error.kind() {
        std::io::ErrorKind::BrokenPipe => Failure::OutputClosed,
        _ => Failure::Error(Error::io("cannot write to stdout", error)),
    }
}

/// Sends what the libraries log to stderr; the variable `CAYENNE_LOG` overrules `level`.
pub(crate) fn log_to_stderr(level: &str) {
    let filter = EnvFilter::try_from_env("CAYENNE_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
}
