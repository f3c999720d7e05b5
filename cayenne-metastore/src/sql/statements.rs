//! The SQL statements, one constant for each.
//!
//! `INDEXED BY` fixes the plans whose cost is promised, so that statistics can never turn a lookup into a scan.

pub(crate) const BEGIN_WRITE: &str = "BEGIN IMMEDIATE";
pub(crate) const BEGIN_READ: &str = "BEGIN DEFERRED";
pub(crate) const COMMIT: &str = "COMMIT";
pub(crate) const ROLLBACK: &str = "ROLLBACK";
pub(crate) const SAVE: &str = "SAVEPOINT request";
pub(crate) const KEEP_SAVED: &str = "RELEASE request";
pub(crate) const UNDO_SAVED: &str = "ROLLBACK TO request; RELEASE request";

pub(crate) const APPLICATION_ID: &str = "PRAGMA application_id";
pub(crate) const USER_VERSION: &str = "PRAGMA user_version";

/// Changes a setting of a connection.
#[cfg(feature = "turso")]
pub(crate) fn set(setting: &str, value: &str) -> String {
    format!("PRAGMA {setting} = {value}")
}

/// Returns the statement that sets the application and the version of the file.
pub(crate) fn set_identity(application: i64, version: i64) -> String {
    format!("PRAGMA application_id = {application}; {}", set_version(version))
}

/// Returns the statement that sets the version of the file.
pub(crate) fn set_version(version: i64) -> String {
    format!("PRAGMA user_version = {version}")
}

pub(crate) const SCHEMA: &str = "SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_schema
    WHERE name NOT LIKE 'sqlite^_stat%' ESCAPE '^' ORDER BY type, name";
pub(crate) const SCHEMA_OBJECTS: &str = "SELECT count(*) FROM sqlite_schema";
/// Checks the small tables that every open reads. The rows of the large tables are verified when they are read.
pub(crate) const CHECK_SMALL_TABLES: &[&str] =
    &["PRAGMA integrity_check('cayenne_table')", "PRAGMA integrity_check('writer')"];
/// Checks the table of views, which an earlier version does not have.
pub(crate) const CHECK_VIEWS: &str = "PRAGMA integrity_check('cayenne_view')";
/// Three ways to read the ids of all tables. Turso cannot check a single table; comparing these finds what a damaged
/// page hides.
#[cfg(feature = "turso")]
pub(crate) const TABLE_IDS: &[&str] = &[
    "SELECT id FROM cayenne_table NOT INDEXED ORDER BY id",
    "SELECT id FROM cayenne_table INDEXED BY sqlite_autoindex_cayenne_table_1 ORDER BY id",
    "SELECT table_id FROM writer NOT INDEXED ORDER BY table_id",
];
/// Two ways to read the names of all views, for the same purpose.
#[cfg(feature = "turso")]
pub(crate) const VIEW_NAMES: &[&str] = &[
    "SELECT name FROM cayenne_view NOT INDEXED ORDER BY name",
    "SELECT name FROM cayenne_view INDEXED BY sqlite_autoindex_cayenne_view_1 ORDER BY name",
];
pub(crate) const CHECKPOINT: &str = "PRAGMA wal_checkpoint(TRUNCATE)";
/// Writes the WAL back without waiting. Returns how many frames the WAL has, and how many of them are written back.
pub(crate) const BACKFILL: &str = "PRAGMA wal_checkpoint(PASSIVE)";
pub(crate) const OPTIMIZE: &str = "PRAGMA optimize";
/// The bytes of the free pages, and of all pages.
pub(crate) const FREE_BYTES: &str = "SELECT freelist_count * page_size, page_count * page_size
    FROM pragma_freelist_count, pragma_page_count, pragma_page_size";
/// Rewrites the file without its free pages.
pub(crate) const SHRINK: &str = "VACUUM";

pub(crate) const INSERT_TABLE: &str = "INSERT INTO cayenne_table
    (id, name, location, columns, options, made_at, digest) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
pub(crate) const TABLE_ID_IS_TAKEN: &str = "SELECT 1 FROM cayenne_table WHERE id = ?1";
pub(crate) const TABLE_NAME_IS_TAKEN: &str = "SELECT 1 FROM cayenne_table WHERE name = ?1";
pub(crate) const TABLES: &str =
    "SELECT id, name, location, columns, options, made_at, digest FROM cayenne_table NOT INDEXED";
pub(crate) const TABLE: &str =
    "SELECT id, name, location, columns, options, made_at, digest FROM cayenne_table WHERE id = ?1";
pub(crate) const TABLE_NAMED: &str =
    "SELECT id, name, location, columns, options, made_at, digest FROM cayenne_table WHERE name = ?1";
pub(crate) const DELETE_TABLE: &str = "DELETE FROM cayenne_table WHERE id = ?1";

pub(crate) const INSERT_VIEW: &str = "INSERT INTO cayenne_view
    (name, definition, default_catalog, default_schema, dialect, columns, made_at, digest)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
pub(crate) const VIEW_NAME_IS_TAKEN: &str = "SELECT 1 FROM cayenne_view WHERE name = ?1";
pub(crate) const VIEWS: &str =
    "SELECT name, definition, default_catalog, default_schema, dialect, columns, made_at, digest
    FROM cayenne_view NOT INDEXED";
pub(crate) const VIEW: &str =
    "SELECT name, definition, default_catalog, default_schema, dialect, columns, made_at, digest
    FROM cayenne_view WHERE name = ?1";
pub(crate) const DELETE_VIEW: &str = "DELETE FROM cayenne_view WHERE name = ?1";

pub(crate) const WRITER: &str = "SELECT epoch, host, process, since, digest FROM writer WHERE table_id = ?1";
pub(crate) const SET_WRITER: &str = "INSERT OR REPLACE INTO writer
    (table_id, epoch, host, process, since, digest) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";

pub(crate) const TABLES_WITH_HISTORY: &str = "SELECT table_id FROM history";
pub(crate) const HISTORY: &str = "SELECT kept_from, known_from, digest FROM history WHERE table_id = ?1";
pub(crate) const SET_HISTORY: &str =
    "INSERT OR REPLACE INTO history (table_id, kept_from, known_from, digest) VALUES (?1, ?2, ?3, ?4)";
pub(crate) const FORGET_COMMITS: &str = "DELETE FROM commit_log WHERE table_id = ?1 AND sequence < ?2";
/// Deletes up to ?4 deletions of the ?3 data files that ended first, if no known snapshot has those files.
pub(crate) const FORGET_DELETIONS_OF_FILES: &str = "DELETE FROM deletion WHERE deletion_key IN (SELECT d.deletion_key
    FROM (SELECT file_key FROM data_file INDEXED BY data_file_by_time
        WHERE table_id = ?1 AND removed_at <= ?2 ORDER BY removed_at, added_at LIMIT ?3) AS f
    CROSS JOIN deletion AS d INDEXED BY deletion_by_file ON d.file_key = f.file_key LIMIT ?4)";
/// Deletes the same data files if no deletion of them is left. Foreign keys delete their dependent rows.
pub(crate) const FORGET_FILES: &str = "DELETE FROM data_file WHERE file_key IN (SELECT f.file_key
    FROM (SELECT file_key FROM data_file INDEXED BY data_file_by_time
        WHERE table_id = ?1 AND removed_at <= ?2 ORDER BY removed_at, added_at LIMIT ?3) AS f
    WHERE NOT EXISTS (SELECT 1 FROM deletion AS d INDEXED BY deletion_by_file WHERE d.file_key = f.file_key))";
/// Deletes up to ?3 replaced deletions, and as many tombstone files, that no known snapshot has.
pub(crate) const FORGET_HIDING: &[&str] = &[
    "DELETE FROM deletion WHERE deletion_key IN (SELECT deletion_key FROM deletion INDEXED BY deletion_by_time
        WHERE table_id = ?1 AND removed_at <= ?2 LIMIT ?3)",
    "DELETE FROM tombstone_file WHERE tombstone_key IN (SELECT tombstone_key FROM tombstone_file
        INDEXED BY tombstone_file_by_time WHERE table_id = ?1 AND removed_at <= ?2 LIMIT ?3)",
];

pub(crate) const SOURCE: &str =
    "SELECT stream, position, sequence, digest FROM source_position WHERE table_id = ?1 AND stream = ?2";
pub(crate) const SOURCES: &str =
    "SELECT stream, position, sequence, digest FROM source_position WHERE table_id = ?1 ORDER BY stream";
pub(crate) const SET_SOURCE: &str = "INSERT OR REPLACE INTO source_position
    (table_id, stream, position, sequence, digest) VALUES (?1, ?2, ?3, ?4, ?5)";

pub(crate) const INSERT_STAGED: &str =
    "INSERT OR IGNORE INTO staged (table_id, id, commit_bytes, digest) VALUES (?1, ?2, ?3, ?4)";
pub(crate) const STAGED: &str = "SELECT id, commit_bytes, digest FROM staged WHERE table_id = ?1 ORDER BY id";
pub(crate) const DELETE_STAGED: &str = "DELETE FROM staged WHERE table_id = ?1 AND id = ?2";

pub(crate) const INSERT_COMMIT: &str = "INSERT INTO commit_log
    (table_id, sequence, id, operation, made_at, files_added, files_removed, rows_added, rows_hidden,
     manifest, parent, chain) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
pub(crate) const SEQUENCE_OF_COMMIT: &str =
    "SELECT sequence FROM commit_log INDEXED BY commit_log_by_id WHERE table_id = ?1 AND id = ?2";
pub(crate) const LAST_COMMIT: &str = "SELECT sequence, id, operation, made_at, files_added, files_removed, rows_added,
    rows_hidden, manifest, parent, chain FROM commit_log WHERE table_id = ?1 ORDER BY sequence DESC LIMIT 1";
pub(crate) const COMMIT_AT: &str = "SELECT sequence, id, operation, made_at, files_added, files_removed, rows_added,
    rows_hidden, manifest, parent, chain FROM commit_log WHERE table_id = ?1 AND sequence = ?2";
pub(crate) const COMMITS: &str = "SELECT sequence, id, operation, made_at, files_added, files_removed, rows_added,
    rows_hidden, manifest, parent, chain FROM commit_log WHERE table_id = ?1 AND sequence >= ?2 ORDER BY sequence";

pub(crate) const INSERT_FILE: &str = "INSERT INTO data_file
    (table_id, id, added_at, row_count, byte_count, content_hash, digest, path, partition_values, column_stats)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
pub(crate) const INSERT_INLINE_ROWS: &str = "INSERT INTO inline_rows (file_key, bytes) VALUES (?1, ?2)";
pub(crate) const LIVE_FILE: &str = "SELECT file_key, added_at, digest FROM data_file INDEXED BY data_file_by_id
    WHERE table_id = ?1 AND id = ?2 AND removed_at IS NULL";
pub(crate) const END_FILE: &str = "UPDATE data_file SET removed_at = ?2 WHERE file_key = ?1";
pub(crate) const DELETE_FILE: &str = "DELETE FROM data_file WHERE file_key = ?1";
pub(crate) const FILES_AT: &str = "
    SELECT file_key, id, added_at, row_count, byte_count, content_hash, digest, path, partition_values, column_stats,
        CASE WHEN path IS NULL THEN
            (SELECT bytes FROM inline_rows WHERE inline_rows.file_key = data_file.file_key) END
        FROM data_file INDEXED BY data_file_by_time
        WHERE table_id = ?1 AND removed_at IS NULL AND added_at <= ?2
    UNION ALL
    SELECT file_key, id, added_at, row_count, byte_count, content_hash, digest, path, partition_values, column_stats,
        CASE WHEN path IS NULL THEN
            (SELECT bytes FROM inline_rows WHERE inline_rows.file_key = data_file.file_key) END
        FROM data_file INDEXED BY data_file_by_time
        WHERE table_id = ?1 AND removed_at > ?2 AND added_at <= ?2";

pub(crate) const INSERT_BLOCKS: &str = "INSERT INTO data_file_blocks (file_key, checksums, digest) VALUES (?1, ?2, ?3)";
pub(crate) const BLOCKS: &str = "SELECT checksums, digest FROM data_file_blocks WHERE file_key =
    (SELECT file_key FROM data_file INDEXED BY data_file_by_id
        WHERE table_id = ?1 AND id = ?2 AND (removed_at IS NULL OR removed_at > ?3)
        ORDER BY added_at DESC LIMIT 1)";

pub(crate) const INSERT_DELETION: &str = "INSERT INTO deletion
    (table_id, file_key, id, added_at, row_count, digest, path, inline_bytes)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
/// A deletion is live as long as its data file.
pub(crate) const LIVE_DELETION: &str = "SELECT d.deletion_key, d.added_at, d.digest
    FROM deletion AS d INDEXED BY deletion_by_id CROSS JOIN data_file AS f ON f.file_key = d.file_key
    WHERE d.table_id = ?1 AND d.id = ?2 AND d.removed_at IS NULL AND f.removed_at IS NULL";
pub(crate) const KNOWN_DELETION: &str = "SELECT 1
    FROM deletion AS d INDEXED BY deletion_by_id CROSS JOIN data_file AS f ON f.file_key = d.file_key
    WHERE d.table_id = ?1 AND d.id = ?2
        AND (coalesce(d.removed_at, f.removed_at) IS NULL OR coalesce(d.removed_at, f.removed_at) > ?3)
    UNION ALL SELECT 1 FROM tombstone_file INDEXED BY tombstone_file_by_id WHERE table_id = ?1 AND id = ?2
        AND (removed_at IS NULL OR removed_at > ?3)
    LIMIT 1";
pub(crate) const LIVE_DELETIONS_OF_FILE: &str = "SELECT deletion_key, added_at, digest FROM deletion
    INDEXED BY deletion_by_file WHERE file_key = ?1 AND removed_at IS NULL";
pub(crate) const END_DELETION: &str = "UPDATE deletion SET removed_at = ?2 WHERE deletion_key = ?1";
pub(crate) const DELETE_DELETION: &str = "DELETE FROM deletion WHERE deletion_key = ?1";
pub(crate) const DELETIONS_AT: &str = "
    SELECT d.deletion_key, d.id, d.added_at, d.row_count, d.digest, d.path, d.inline_bytes, f.id
        FROM deletion AS d INDEXED BY deletion_by_time CROSS JOIN data_file AS f ON f.file_key = d.file_key
        WHERE d.table_id = ?1 AND d.removed_at IS NULL AND d.added_at <= ?2
            AND (f.removed_at IS NULL OR f.removed_at > ?2)
    UNION ALL
    SELECT d.deletion_key, d.id, d.added_at, d.row_count, d.digest, d.path, d.inline_bytes, f.id
        FROM deletion AS d INDEXED BY deletion_by_time CROSS JOIN data_file AS f ON f.file_key = d.file_key
        WHERE d.table_id = ?1 AND d.removed_at > ?2 AND d.added_at <= ?2";

pub(crate) const INSERT_TOMBSTONES: &str = "INSERT INTO tombstone_file
    (table_id, id, added_at, key_count, digest, path, inline_bytes) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
pub(crate) const LIVE_TOMBSTONES: &str = "SELECT tombstone_key, added_at, digest FROM tombstone_file
    INDEXED BY tombstone_file_by_id WHERE table_id = ?1 AND id = ?2 AND removed_at IS NULL";
pub(crate) const END_TOMBSTONES: &str = "UPDATE tombstone_file SET removed_at = ?2 WHERE tombstone_key = ?1";
pub(crate) const DELETE_TOMBSTONES: &str = "DELETE FROM tombstone_file WHERE tombstone_key = ?1";
pub(crate) const TOMBSTONES_AT: &str = "
    SELECT tombstone_key, id, added_at, key_count, digest, path, inline_bytes
        FROM tombstone_file INDEXED BY tombstone_file_by_time
        WHERE table_id = ?1 AND removed_at IS NULL AND added_at <= ?2
    UNION ALL
    SELECT tombstone_key, id, added_at, key_count, digest, path, inline_bytes
        FROM tombstone_file INDEXED BY tombstone_file_by_time
        WHERE table_id = ?1 AND removed_at > ?2 AND added_at <= ?2";
