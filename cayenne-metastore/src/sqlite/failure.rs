//! The errors of SQLite, classified by what a caller can do.

use cayenne_format::{Error, Result};
use rusqlite::Error as Sqlite;
use rusqlite::ffi::{self, ErrorCode};

use crate::sql::failure::{
    busy, damaged, disk_full, misused, no_permission, not_a_database, too_large, unreadable, wrong_value,
};

/// Converts the results of SQLite to ours.
pub(super) trait OrFailure<T> {
    /// Returns the value, or the error converted to ours.
    fn or_failure(self) -> Result<T>;
}

impl<T> OrFailure<T> for rusqlite::Result<T> {
    fn or_failure(self) -> Result<T> {
        self.map_err(failure)
    }
}

/// Converts an error of SQLite to ours.
pub(super) fn failure(error: Sqlite) -> Error {
    let made = match &error {
        Sqlite::SqliteFailure(code, _) | Sqlite::SqlInputError { error: code, .. } => sorted(*code),
        Sqlite::FromSqlConversionFailure(..)
        | Sqlite::IntegralValueOutOfRange(..)
        | Sqlite::Utf8Error(..)
        | Sqlite::InvalidColumnType(..) => wrong_value(),
        Sqlite::NulError(_) | Sqlite::InvalidPath(_) => Error::invalid("the path of the metastore cannot be used"),
        _ => misused(),
    };
    made.because(error)
}

fn sorted(error: ffi::Error) -> Error {
    // A file that ends too early is damaged; all other I/O errors may be transient.
    if matches!(error.extended_code, ffi::SQLITE_IOERR_SHORT_READ | ffi::SQLITE_IOERR_CORRUPTFS) {
        return damaged();
    }
    match error.code {
        ErrorCode::NotADatabase => not_a_database(),
        ErrorCode::DatabaseCorrupt => damaged(),
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::FileLockingProtocolFailed => busy(),
        ErrorCode::DiskFull => disk_full(),
        ErrorCode::OutOfMemory | ErrorCode::TooBig => too_large(),
        ErrorCode::CannotOpen
        | ErrorCode::ReadOnly
        | ErrorCode::PermissionDenied
        | ErrorCode::AuthorizationForStatementDenied => no_permission(),
        ErrorCode::SystemIoFailure | ErrorCode::OperationInterrupted => unreadable(),
        _ => misused(),
    }
}

/// Returns whether a COMMIT that failed with `error` is known to have left nothing behind.
///
/// A commit takes effect once its last frame is in the WAL, complete. A lock, a full disk and a failed write of a frame
/// come before that moment. A failed flush comes after it: the frames may still reach the disk.
pub(super) fn applied_nothing(error: &Sqlite) -> bool {
    match error {
        Sqlite::SqliteFailure(code, _) => {
            matches!(code.code, ErrorCode::DiskFull | ErrorCode::DatabaseBusy)
                || code.extended_code == ffi::SQLITE_IOERR_WRITE
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use cayenne_format::ErrorKind;

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
