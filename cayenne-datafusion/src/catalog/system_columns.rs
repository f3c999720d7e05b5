//! What the columns of the system tables mean.

/// What a column of a table of the schema `system` means.
#[derive(Clone, Copy, Debug)]
pub struct SystemColumn {
    /// The table, without its schema.
    pub table: &'static str,
    /// The column.
    pub name: &'static str,
    /// What it holds.
    pub meaning: &'static str,
}

const fn column(table: &'static str, name: &'static str, meaning: &'static str) -> SystemColumn {
    SystemColumn { table, name, meaning }
}

const TABLE: &str = "name of the table";

/// Every column of every system table, in order.
pub const SYSTEM_COLUMNS: [SystemColumn; 61] = [
    column("tables", "name", TABLE),
    column("tables", "id", "identifier of the table, which never changes"),
    column("tables", "sequence", "number of the latest commit"),
    column("tables", "rows", "number of visible rows; NULL while a deletion file of the table is damaged"),
    column("tables", "files", "number of data files, inline data files included"),
    column("tables", "bytes", "bytes of data files, inline data files included"),
    column("tables", "layers", "number of commits that the data files came in"),
    column("tables", "read_amplification", "number of files that a scan of all rows opens, deletion files included"),
    column("tables", "location", "folder of the data files, below the database folder"),
    column("tables", "compression", "how new data files are compressed"),
    column("tables", "made_at", "when the table was created"),
    column("files", "table_name", TABLE),
    column("files", "file_id", "identifier of the data file"),
    column(
        "files",
        "location",
        "path of the data file in the folder of the table, or `inline` for rows in the metastore",
    ),
    column("files", "rows", "number of rows, deleted rows included"),
    column("files", "hidden_rows", "number of deleted rows; NULL while a deletion file of the data file is damaged"),
    column("files", "bytes", "length of the data file"),
    column("files", "added_at", "number of the commit that added the data file"),
    column("files", "hash", "checksum of the content"),
    column("deletes", "table_name", TABLE),
    column("deletes", "file_id", "identifier of the data file whose rows are hidden; NULL for tombstones"),
    column("deletes", "deletion_id", "identifier of the deletion file or tombstone file"),
    column("deletes", "sequence", "number of the commit that added it"),
    column("deletes", "rows_hidden", "number of rows it hides, or of keys for tombstones"),
    column("deletes", "bytes", "its length if it is stored in the metastore"),
    column("deletes", "path", "its path if it is a file"),
    column("snapshots", "table_name", TABLE),
    column("snapshots", "sequence", "number of the commit"),
    column("snapshots", "operation", "what the commit did"),
    column("snapshots", "made_at", "time of the commit"),
    column("snapshots", "commit_id", "identifier of the commit"),
    column("snapshots", "files_added", "number of data files added"),
    column("snapshots", "files_removed", "number of data files removed"),
    column("snapshots", "rows_added", "number of rows added"),
    column("snapshots", "rows_hidden", "number of rows deleted or replaced"),
    column("compactions", "table_name", TABLE),
    column("compactions", "began_at", "when the pass, or the examination that started none, began"),
    column("compactions", "took_ms", "duration in milliseconds"),
    column("compactions", "outcome", "`committed`, `conflict`, `skipped`, `failed`, `cancelled`, or `running`"),
    column("compactions", "reason", "which trigger started the pass"),
    column("compactions", "declined", "why no pass started"),
    column("compactions", "times", "number of examinations in a row with this result"),
    column("compactions", "inputs", "number of data files read"),
    column("compactions", "bytes_read", "bytes of these data files"),
    column("compactions", "outputs", "number of data files written"),
    column("compactions", "bytes_written", "bytes of these data files"),
    column("compactions", "rows", "number of rows written"),
    column("compactions", "rows_left_out", "number of deleted rows that were not written"),
    column("compactions", "sequence", "number of the commit"),
    column("compactions", "error", "why the pass failed"),
    column("caches", "name", "name of the cache"),
    column("caches", "capacity_bytes", "most bytes that the cache holds"),
    column("caches", "bytes", "bytes that it holds now"),
    column("caches", "entries", "number of entries"),
    column("caches", "hits", "number of lookups that found an entry"),
    column("caches", "misses", "number of lookups that found none"),
    column("caches", "hit_ratio", "hits divided by all lookups; NULL before the first"),
    column("metrics", "name", "name of the metric"),
    column("metrics", "table_name", "name of the table; NULL for a metric of the database"),
    column("metrics", "labels", "labels and their values"),
    column("metrics", "value", "the number: a count, bytes or milliseconds"),
];
