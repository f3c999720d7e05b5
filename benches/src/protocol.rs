//! What the measuring process and an engine say to each other: one JSON object per line, one reply per request.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::answer::Answer;

/// What an engine is asked to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub(crate) enum Request {
    /// Open or create the database in `dir`; always first.
    Open { dir: PathBuf, threads: usize },
    /// Copy one Parquet file into a new table of that name, durably.
    Load { table: String, source: PathBuf },
    /// Run a query to its last row; send the rows back only if `answer` asks for them.
    Query { id: String, sql: String, answer: bool },
    /// Hold the rows of one Parquet file in memory, cut into commits, and make empty tables of that schema.
    Prepare { source: PathBuf, rows_per_commit: usize, tables: Vec<String> },
    /// Append the first prepared commits to one table, one after the other, each durable before the next begins.
    Append { table: String, commits: usize },
    /// Append prepared commits to each table by a writer of its own, all at once.
    AppendAtOnce { tables: Vec<String>, commits: usize },
    /// Make tables whose manifests name data files that nobody wrote.
    Fabricate { tables: Vec<String>, files: usize },
    /// Open the handle of every table.
    OpenTables,
    /// Make the physical plan of a query, and do not run it.
    Plan { sql: String },
    /// Close the database and end the process.
    Close,
}

/// What an engine reports about one request. Times cover the work alone, not the making of this reply.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Reply {
    /// Why the request failed; every other field is then meaningless.
    pub(crate) error: Option<String>,
    pub(crate) wall_ms: f64,
    /// User and system time of all threads of the engine's process.
    pub(crate) cpu_ms: f64,
    /// Rows of a query's result.
    pub(crate) rows: u64,
    /// How long each commit of a stream took, in their order.
    pub(crate) commit_ms: Vec<f64>,
    /// Data files that a plan reads.
    pub(crate) files: Option<u64>,
    pub(crate) answer: Option<Answer>,
    /// The largest resident size so far, where the system tells it.
    pub(crate) peak_rss_bytes: Option<u64>,
    /// Version of the engine, in the reply to `open`.
    pub(crate) version: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_names_its_operation() {
        let text = serde_json::to_string(&Request::Close).unwrap();
        assert_eq!(text, r#"{"op":"close"}"#);
    }

    #[test]
    fn reply_of_an_error_alone_is_understood() {
        let reply: Reply = serde_json::from_str(r#"{"error":"no such table"}"#).unwrap();
        assert_eq!(reply.error.as_deref(), Some("no such table"));
    }
}
