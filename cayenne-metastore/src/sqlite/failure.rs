//! What SQLite says when it fails, sorted by what a caller can do.

use std::path::Path;

use cayenne_format::{Error, ErrorKind, Result};
use rusqlite::Error as Sqlite;
use rusqlite::ffi::{self, ErrorCode};

/// Turns the results of SQLite into ours.
pub(super) trait OrFailure<T> {
    /// Returns the value, or our error for that of SQLite.
    fn or_failure(self) -> Result<T>;
}

impl<T> OrFailure<T> for rusqlite::Result<T> {
    fn or_failure(self) -> Result<T> {
        self.map_err(failure)
    }
}

/// Returns our error for one of SQLite.
pub(super) fn failure(error: Sqlite) -> Error {
    let made = match &error {
        Sqlite::SqliteFailure(code, _) | Sqlite::SqlInputError { error: code, .. } => sorted(*code),
        Sqlite::FromSqlConversionFailure(..)
        | Sqlite::IntegralValueOutOfRange(..)
        | Sqlite::Utf8Error(..)
        | Sqlite::InvalidColumnType(..) => Error::corrupt("a stored value is not of the kind that was written"),
        Sqlite::NulError(_) | Sqlite::InvalidPath(_) => Error::invalid("the path of the metastore cannot be used"),
        _ => Error::internal("the metastore was used in a wrong way"),
    };
    made.because(error)
}

fn sorted(error: ffi::Error) -> Error {
    // A file that ends too early is damaged; all other failures of input and output may pass.
    if matches!(error.extended_code, ffi::SQLITE_IOERR_SHORT_READ | ffi::SQLITE_IOERR_CORRUPTFS) {
        return Error::corrupt("the metastore file is damaged");
    }
    match error.code {
        ErrorCode::NotADatabase => Error::corrupt("the metastore file is not a database, or its header is damaged"),
        ErrorCode::DatabaseCorrupt => Error::corrupt("the metastore file is damaged"),
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed => {
            Error::unavailable("the metastore is busy with another process").code("metastore-busy").help("try again")
        }
        ErrorCode::DiskFull => Error::resource_limit("the disk of the metastore is full")
            .code("disk-full")
            .help("free some space and try again; nothing was changed"),
        ErrorCode::OutOfMemory | ErrorCode::TooBig => Error::resource_limit("the metastore cannot hold this much"),
        ErrorCode::CannotOpen
        | ErrorCode::ReadOnly
        | ErrorCode::PermissionDenied
        | ErrorCode::AuthorizationForStatementDenied => {
            Error::invalid("the metastore file cannot be opened or written")
                .code("no-permission")
                .help("give this process permission, or open the database read-only")
        }
        ErrorCode::SystemIoFailure | ErrorCode::OperationInterrupted => {
            Error::unavailable("the metastore file cannot be read or written")
        }
        _ => Error::internal("the metastore was used in a wrong way"),
    }
}

/// Says whether a COMMIT that failed with `error` is known to have left nothing behind.
///
/// A commit counts from the moment its last frame is in the WAL, whole. A lock, a full disk and a failed write of a frame
/// come before that moment. A failed flush comes after it: the frames may reach the disk all the same.
pub(super) fn applied_nothing(error: &Sqlite) -> bool {
    match error {
        Sqlite::SqliteFailure(code, _) => {
            matches!(code.code, ErrorCode::DiskFull | ErrorCode::DatabaseBusy)
                || code.extended_code == ffi::SQLITE_IOERR_WRITE
        }
        _ => false,
    }
}

/// Adds the path where the file itself is at fault; a conflict needs no path.
pub(super) fn at(path: &Path, error: Error) -> Error {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::AlreadyExists | ErrorKind::Conflict | ErrorKind::Invalid => error,
        _ => named(path, error),
    }
}

/// Returns the error for a file that cannot be opened. What SQLite cannot make sense of then is damage.
pub(super) fn while_opening(path: &Path, error: Error) -> Error {
    match error.kind() {
        ErrorKind::Internal => named(path, Error::corrupt("the metastore file is damaged").because(error)),
        _ => named(path, error),
    }
}

fn named(path: &Path, error: Error) -> Error {
    let is_named = error.facts().any(|(name, _)| name == "metastore");
    if is_named { error } else { error.with("metastore", path.display()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(code: i32) -> Sqlite {
        Sqlite::SqliteFailure(ffi::Error::new(code), None)
    }

    #[test]
    fn failures_are_sorted_by_what_a_caller_can_do() {
        let cases = [
            (ffi::SQLITE_CORRUPT, ErrorKind::Corrupt, "corrupt"),
            (ffi::SQLITE_NOTADB, ErrorKind::Corrupt, "corrupt"),
            (ffi::SQLITE_IOERR_SHORT_READ, ErrorKind::Corrupt, "corrupt"),
            (ffi::SQLITE_BUSY_SNAPSHOT, ErrorKind::Unavailable, "metastore-busy"),
            (ffi::SQLITE_FULL, ErrorKind::ResourceLimit, "disk-full"),
            (ffi::SQLITE_IOERR_FSYNC, ErrorKind::Unavailable, "unavailable"),
            (ffi::SQLITE_READONLY, ErrorKind::Invalid, "no-permission"),
            (ffi::SQLITE_TOOBIG, ErrorKind::ResourceLimit, "resource-limit"),
            (ffi::SQLITE_CONSTRAINT_UNIQUE, ErrorKind::Internal, "internal"),
        ];
        for (code, kind, name) in cases {
            let error = failure(of(code));
            assert_eq!((error.kind(), error.stable_code()), (kind, name), "for code {code}");
        }
    }

    #[test]
    fn only_a_failed_flush_leaves_a_commit_in_doubt() {
        assert!(applied_nothing(&of(ffi::SQLITE_FULL)));
        assert!(applied_nothing(&of(ffi::SQLITE_IOERR_WRITE)));
        assert!(!applied_nothing(&of(ffi::SQLITE_IOERR_FSYNC)));
        assert!(!applied_nothing(&of(ffi::SQLITE_IOERR)));
    }
}
