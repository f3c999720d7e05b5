//! What the measuring process and an engine say to each other: one JSON object per line, one reply per request.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::answer::Answer;

/// What an engine is asked to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub(crate) enum Request {
    /// Open or create the database in `dir`; always first.
    Open {
        dir: PathBuf,
        threads: usize,
        #[serde(flatten)]
        settings: OpenSettings,
    },
    /// Copy one Parquet file into a new table of that name, durably, with `key` as its primary key.
    Load { table: String, source: PathBuf, key: Option<String> },
    /// Run a query to its last row; send the rows back only if `answer` asks for them.
    Query { id: String, sql: String, answer: bool },
    /// Run one statement that changes rows, durably; the reply says how many.
    Execute { sql: String },
    /// Hold the rows of one Parquet file in memory, cut into commits, and make empty tables of that schema.
    Prepare { source: PathBuf, rows_per_commit: usize, tables: Vec<String>, key: Option<String> },
    /// Append the first prepared commits to one table, one after the other, each durable before the next begins.
    Append { table: String, commits: usize },
    /// Append prepared commits to each table by a writer of its own, all at once.
    AppendAtOnce { tables: Vec<String>, commits: usize },
    /// Put prepared commits in the place of the rows with their keys, one after the other, each durable before the next.
    Upsert { table: String, key: String, skip: usize, commits: usize },
    /// Upsert prepared commits from one writer, over and over, while others run a query, until the time is over.
    Mixed { table: String, key: String, seconds: f64, readers: usize, sql: String },
    /// Read all columns of the rows with these keys, one list after the other.
    Lookup { table: String, key: String, keys: Vec<Vec<i64>>, by: LookupBy },
    /// Say how much memory the indexes of primary keys take.
    KeyIndex,
    /// Make tables whose manifests name data files that nobody wrote.
    Fabricate { tables: Vec<String>, files: usize },
    /// Open the handle of every table.
    OpenTables,
    /// Make the physical plan of a query, and do not run it.
    Plan { sql: String },
    /// Add the rows of a Parquet file to a table, made first if need be with data files of so many MiB.
    Insert { table: String, source: PathBuf, target_file_mb: Option<NonZeroU64> },
    /// Put a table in shape, all of it.
    Compact { table: String },
    /// Wait until nothing of a table is worth doing any more.
    Rest { table: String },
    /// Move what is inline to data files, and remove what nobody needs.
    Collect { table: String },
    /// Say what the engine counts of itself.
    Metrics,
    /// Make a large table and then others worth compacting, and time when the others are.
    Fairness { large: String, tables: usize },
    /// Close the database and end the process.
    Close,
}

/// How a database is opened, where it is not in the usual way.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct OpenSettings {
    /// Memory for the indexes of primary keys, where an engine has such a limit; its own default if not given.
    pub(crate) key_index_bytes: Option<u64>,
    /// Memory that compaction is charged to; without a limit if not given.
    pub(crate) compaction_bytes: Option<u64>,
    /// Whether tables are left as writes leave them.
    pub(crate) is_left_alone: bool,
}

/// The way into an engine that a lookup takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LookupBy {
    /// SQL, prepared where that is faster.
    Sql,
    /// The calls of Cayenne that take keys as values.
    Api,
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
    /// Rows of a query's result, or rows that a statement changed.
    pub(crate) rows: u64,
    /// How long each commit or lookup took, in their order.
    pub(crate) lap_ms: Vec<f64>,
    /// How long each query of the readers took, while a writer wrote.
    pub(crate) read_ms: Vec<f64>,
    /// Failures of commits and queries that ran side by side.
    pub(crate) failures: Vec<String>,
    /// Memory of the indexes of primary keys, where the engine tells it.
    pub(crate) key_index_bytes: Option<u64>,
    /// Data files that a plan reads, or the most that a table had after any of its commits.
    pub(crate) files: Option<u64>,
    /// What the engine counts of itself, by name.
    pub(crate) numbers: BTreeMap<String, f64>,
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
