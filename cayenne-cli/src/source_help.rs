//! Adds the names of command-line options to the help of errors about text files.

use cayenne_format::Error;

/// Names the command-line option in the help of an error about a text file.
pub(crate) fn with_options(error: Error) -> Error {
    let has = |name: &str| error.facts().any(|(fact, _)| fact == name);
    let help = if error.stable_code() == "unknown-source" {
        "say it with --input-format parquet, csv, tsv, ndjson or arrow"
    } else if error.stable_code() == "ambiguous-delimiter" {
        "say which one it is with --delimiter"
    } else if has("value") && has("type") {
        "declare the column with --columns name:type, let more rows decide with --sample-rows, or name a text for NULL \
         with --null; nothing was changed"
    } else if has("expected") {
        "mend the line, or say what the file is written with by --delimiter, --quote or --escape; nothing was changed"
    } else {
        return error;
    };
    error.help(help)
}
