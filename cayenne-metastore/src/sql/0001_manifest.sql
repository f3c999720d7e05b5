-- The manifest: tables, their writers, and the history of their data files, deletions and tombstones.
--
-- Ids are 16 bytes. Times are microseconds since 1970. Counts are 64 bits without a sign, kept in the same 64 bits.
-- A row with `added_at` and `removed_at` belongs to the snapshots from the first up to, not including, the second;
-- without `removed_at` it is live. `digest` is the XXH3-128 of the other columns; docs/format.md has the bytes.

CREATE TABLE cayenne_table (
    id       BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    name     TEXT    NOT NULL UNIQUE,
    location TEXT    NOT NULL,
    columns  BLOB    NOT NULL,
    options  TEXT    NOT NULL,
    made_at  INTEGER NOT NULL,
    digest   BLOB    NOT NULL CHECK (length(digest) = 16)
) STRICT;

-- One row for each table, apart from it, because it changes with every writer and a schema is long.
CREATE TABLE writer (
    table_id BLOB    NOT NULL PRIMARY KEY REFERENCES cayenne_table (id) ON DELETE CASCADE,
    epoch    INTEGER NOT NULL,
    host     TEXT,
    process  INTEGER,
    since    INTEGER,
    digest   BLOB    NOT NULL CHECK (length(digest) = 16)
) STRICT;

-- `manifest` is the sum of the digests of all rows that are live after the commit; `chain` is the digest of this row,
-- and `parent` is the chain of the commit before it.
CREATE TABLE commit_log (
    table_id      BLOB    NOT NULL REFERENCES cayenne_table (id) ON DELETE CASCADE,
    sequence      INTEGER NOT NULL CHECK (sequence > 0),
    id            BLOB    NOT NULL CHECK (length(id) = 16),
    operation     TEXT    NOT NULL,
    made_at       INTEGER NOT NULL,
    files_added   INTEGER NOT NULL,
    files_removed INTEGER NOT NULL,
    rows_added    INTEGER NOT NULL,
    rows_hidden   INTEGER NOT NULL,
    manifest      BLOB    NOT NULL CHECK (length(manifest) = 16),
    parent        BLOB    NOT NULL CHECK (length(parent) = 16),
    chain         BLOB    NOT NULL CHECK (length(chain) = 16),
    PRIMARY KEY (table_id, sequence)
) STRICT;

CREATE UNIQUE INDEX commit_log_by_id ON commit_log (table_id, id);

-- The earliest snapshot that can be opened, and the earliest whose rows are still here; a table without a row has given
-- up nothing.
CREATE TABLE history (
    table_id   BLOB    NOT NULL PRIMARY KEY REFERENCES cayenne_table (id) ON DELETE CASCADE,
    kept_from  INTEGER NOT NULL,
    known_from INTEGER NOT NULL CHECK (known_from <= kept_from),
    digest     BLOB    NOT NULL CHECK (length(digest) = 16)
) STRICT;

-- The last position of each stream that a table has taken in, and the commit that did.
CREATE TABLE source_position (
    table_id BLOB    NOT NULL REFERENCES cayenne_table (id) ON DELETE CASCADE,
    stream   TEXT    NOT NULL,
    position INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    digest   BLOB    NOT NULL CHECK (length(digest) = 16),
    PRIMARY KEY (table_id, stream)
) STRICT;

-- Commits that are durable and part of no snapshot yet, whole.
CREATE TABLE staged (
    table_id     BLOB NOT NULL REFERENCES cayenne_table (id) ON DELETE CASCADE,
    id           BLOB NOT NULL CHECK (length(id) = 16),
    commit_bytes BLOB NOT NULL,
    digest       BLOB NOT NULL CHECK (length(digest) = 16),
    PRIMARY KEY (table_id, id)
) STRICT;

CREATE TABLE data_file (
    file_key         INTEGER PRIMARY KEY,
    table_id         BLOB    NOT NULL REFERENCES cayenne_table (id) ON DELETE CASCADE,
    id               BLOB    NOT NULL CHECK (length(id) = 16),
    added_at         INTEGER NOT NULL,
    removed_at       INTEGER CHECK (removed_at > added_at),
    row_count        INTEGER NOT NULL,
    byte_count       INTEGER NOT NULL,
    content_hash     BLOB    NOT NULL CHECK (length(content_hash) = 16),
    digest           BLOB    NOT NULL CHECK (length(digest) = 16),
    path             TEXT,
    partition_values BLOB    NOT NULL,
    column_stats     BLOB    NOT NULL
) STRICT;

CREATE UNIQUE INDEX data_file_by_id ON data_file (table_id, id, added_at);
CREATE INDEX data_file_by_time ON data_file (table_id, removed_at, added_at);

-- The rows of a data file without a path. Apart from it, because a change of a row of SQLite writes all of it anew.
CREATE TABLE inline_rows (
    file_key INTEGER PRIMARY KEY REFERENCES data_file (file_key) ON DELETE CASCADE,
    bytes    BLOB    NOT NULL
) STRICT;

-- Apart from the data files, because only a scan of a file needs them: opening a table never loads them.
CREATE TABLE data_file_blocks (
    file_key  INTEGER PRIMARY KEY REFERENCES data_file (file_key) ON DELETE CASCADE,
    checksums BLOB    NOT NULL,
    digest    BLOB    NOT NULL CHECK (length(digest) = 16)
) STRICT;

CREATE TABLE deletion (
    deletion_key INTEGER PRIMARY KEY,
    table_id     BLOB    NOT NULL REFERENCES cayenne_table (id) ON DELETE CASCADE,
    file_key     INTEGER NOT NULL REFERENCES data_file (file_key) ON DELETE CASCADE,
    id           BLOB    NOT NULL CHECK (length(id) = 16),
    added_at     INTEGER NOT NULL,
    removed_at   INTEGER CHECK (removed_at > added_at),
    row_count    INTEGER NOT NULL,
    digest       BLOB    NOT NULL CHECK (length(digest) = 16),
    path         TEXT,
    inline_bytes BLOB,
    CHECK ((path IS NULL) <> (inline_bytes IS NULL))
) STRICT;

CREATE UNIQUE INDEX deletion_by_id ON deletion (table_id, id, added_at);
CREATE INDEX deletion_by_time ON deletion (table_id, removed_at, added_at);
CREATE INDEX deletion_by_file ON deletion (file_key, removed_at);

CREATE TABLE tombstone_file (
    tombstone_key INTEGER PRIMARY KEY,
    table_id      BLOB    NOT NULL REFERENCES cayenne_table (id) ON DELETE CASCADE,
    id            BLOB    NOT NULL CHECK (length(id) = 16),
    added_at      INTEGER NOT NULL,
    removed_at    INTEGER CHECK (removed_at > added_at),
    key_count     INTEGER NOT NULL,
    digest        BLOB    NOT NULL CHECK (length(digest) = 16),
    path          TEXT,
    inline_bytes  BLOB,
    CHECK ((path IS NULL) <> (inline_bytes IS NULL))
) STRICT;

CREATE UNIQUE INDEX tombstone_file_by_id ON tombstone_file (table_id, id, added_at);
CREATE INDEX tombstone_file_by_time ON tombstone_file (table_id, removed_at, added_at);
