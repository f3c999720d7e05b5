//! Formats errors for people and scripts: the message, the facts, the causes, the help and a stable code.

use std::error::Error as StdError;
use std::fmt::Write;

use cayenne_format::Error;
use datafusion::error::DataFusionError;

use crate::escape::{escaped, escaped_lines};

/// The beginning of the bug notice that DataFusion appends to some errors. It is left out, because DataFusion cannot
/// know where to report the bug.
const BUG_NOTICE: &str = "\nThis issue was likely caused by a bug in DataFusion's code.";

/// Returns the error as the block that is printed to stderr.
pub(crate) fn block(error: &Error) -> String {
    let mut out = format!("error[{}]: {}\n", error.stable_code(), escaped(error.message()));
    for (name, value) in error.facts() {
        // Writing to a String cannot fail.
        let _infallible = writeln!(out, "  {name}: {}", escaped(value));
    }
    for cause in causes(error) {
        let _infallible = writeln!(out, "  why: {}", escaped_lines(cause.trim_end()).replace('\n', "\n       "));
    }
    if let Some(help) = error.way_to_mend() {
        let _infallible = writeln!(out, "  help: {}", escaped(help));
    }
    out
}

/// Returns the error as `code message` in one line, whatever it contains.
pub(crate) fn one_line(error: &Error) -> String {
    let mut text = format!("{} {error}", error.stable_code());
    for cause in causes(error) {
        text.push_str(": ");
        text.push_str(cause.trim_end());
    }
    escaped(&text).into_owned()
}

/// Returns the text that each cause adds. Many errors repeat the text of their cause, or only announce it.
fn causes(error: &Error) -> Vec<String> {
    let mut texts: Vec<String> = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next {
        next = cause.source();
        if matches!(cause.downcast_ref(), Some(DataFusionError::SQL(..))) {
            continue;
        }
        let text = cause.to_string();
        let text = text.split(BUG_NOTICE).next().unwrap_or_default().to_owned();
        if !texts.iter().any(|known| known.contains(&text)) {
            texts.push(text);
        }
    }
    texts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn locked() -> Error {
        Error::unavailable("the table is open for writing in another process")
            .code("table-locked")
            .with("table", "line\nitem")
            .help("stop that writer")
            .because(std::io::Error::other("first\nsecond \u{1b}[31m"))
    }

    #[test]
    fn a_block_says_what_why_and_how_to_mend() {
        let expected = "error[table-locked]: the table is open for writing in another process\n\
            \x20 table: line\\nitem\n\
            \x20 why: first\n\
            \x20      second \\u{1b}[31m\n\
            \x20 help: stop that writer\n";
        assert_eq!(block(&locked()), expected);
    }

    #[test]
    fn the_short_form_is_one_line() {
        let line = one_line(&locked());
        assert!(line.starts_with("table-locked the table is open"), "{line}");
        assert!(!line.contains('\n') && line.contains("first\\nsecond"), "{line}");
    }

    #[test]
    fn a_cause_that_is_quoted_by_its_effect_is_not_repeated() {
        let inner = Error::invalid("inner").because(std::io::Error::other("deep"));
        let error = Error::invalid("outer").because(Error::invalid("wraps inner").because(inner));
        assert_eq!(causes(&error), ["wraps inner", "deep"]);
    }
}
