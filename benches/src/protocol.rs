//! The protocol between the measuring process and an engine: one JSON object per line, one reply per request.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::answer::Answer;

/// A request to an engine.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "snake_case")]
pub(crate) enum Request {
    /// Open or create the database in `dir`. Always the first request.
    Open {
        dir: PathBuf,
        threads: usize,
        #[serde(flatten)]
        settings: OpenSettings,
    },
    /// Copy one Parquet file into a new table, durably, with `key` as its primary key.
    Load { table: String, source: PathBuf, key: Option<String> },
    /// Run a query and read all of its rows. Send the rows back only if `answer` is true.
    Query { id: String, sql: String, answer: bool },
    /// Run one statement that changes rows, durably. The reply contains their number.
    Execute { sql: String },
    /// Hold the rows of one Parquet file in memory, split into commits, and create empty tables of that schema.
    Prepare { source: PathBuf, rows_per_commit: usize, tables: Vec<String>, key: Option<String> },
    /// Append the first prepared commits to one table, one after the other. Each is durable before the next begins.
    Append { table: String, commits: usize },
    /// Append prepared commits to all tables concurrently, with one writer for each table.
    AppendAtOnce { tables: Vec<String>, commits: usize },
    /// Upsert prepared commits, one after the other. Each is durable before the next begins.
    Upsert { table: String, key: String, skip: usize, commits: usize },
    /// Upsert prepared commits from one writer, over and over, while readers run a query, until the time is over.
    Mixed { table: String, key: String, seconds: f64, readers: usize, sql: String },
    /// Read all columns of the rows with these keys, one list of keys after the other.
    Lookup { table: String, key: String, keys: Vec<Vec<i64>>, by: LookupBy },
    /// Return the memory of the indexes of primary keys.
    KeyIndex,
    /// Create tables whose manifests name data files that were never written.
    Fabricate { tables: Vec<String>, files: usize },
    /// Open the handle of every table.
    OpenTables,
    /// Create the physical plan of a query without running it.
    Plan { sql: String },
    /// Add the rows of a Parquet file to a table. A missing table is created first, with data files of `target_file_mb`
    /// MiB.
    Insert { table: String, source: PathBuf, target_file_mb: Option<NonZeroU64> },
    /// Compact a whole table.
    Compact { table: String },
    /// Wait until no pass on a table is worthwhile any more.
    Rest { table: String },
    /// Flush inline rows to data files, and collect orphan files.
    Collect { table: String },
    /// Return the counters of the engine.
    Metrics,
    /// Make a large table and then others worth compacting, and time when the others are compacted.
    Fairness { large: String, tables: usize },
    /// Close the database and end the process.
    Close,
}

/// Settings that differ from the defaults when a database is opened.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct OpenSettings {
    /// Memory limit for the indexes of primary keys, if the engine has one. `None` is the default of the engine.
    pub(crate) key_index_bytes: Option<u64>,
    /// Memory limit for compaction. `None` is no limit.
    pub(crate) compaction_bytes: Option<u64>,
    /// Whether background maintenance of tables is off.
    pub(crate) is_left_alone: bool,
}

/// The interface that a lookup uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LookupBy {
    /// SQL, prepared if that is faster.
    Sql,
    /// The functions of Cayenne that take keys as values.
    Api,
}

/// The reply of an engine to one request. Times cover only the work, not the creation of this reply.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Reply {
    /// The reason why the request failed. All other fields are then meaningless.
    pub(crate) error: Option<String>,
    pub(crate) wall_ms: f64,
    /// User and system CPU time of all threads of the engine's process.
    pub(crate) cpu_ms: f64,
    /// Rows of a query's result, or rows that a statement changed.
    pub(crate) rows: u64,
    /// The duration of each commit or lookup, in order.
    pub(crate) lap_ms: Vec<f64>,
    /// The duration of each query of the readers, while a writer wrote.
    pub(crate) read_ms: Vec<f64>,
    /// Failures of concurrent commits and queries.
    pub(crate) failures: Vec<String>,
    /// Memory of the indexes of primary keys, if the engine reports it.
    pub(crate) key_index_bytes: Option<u64>,
    /// Data files that a plan reads, or the most that a table had after any of its commits.
    pub(crate) files: Option<u64>,
    /// Counters of the engine, by name.
    pub(crate) numbers: BTreeMap<String, f64>,
    pub(crate) answer: Option<Answer>,
    /// The peak resident size so far, if the system provides it.
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
