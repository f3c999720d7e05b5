//! The errors of Turso, classified by what a caller can do.

use std::io::ErrorKind as Io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use cayenne_format::{Error, Result};
use turso_core::{CompletionError, LimboError};

use crate::sql::failure::{
    busy, damaged, disk_full, misused, no_permission, not_a_database, too_large, unreadable, wrong_value,
};

/// Converts the results of Turso to ours.
pub(super) trait OrFailure<T> {
    /// Returns the value, or the error converted to ours.
    fn or_failure(self) -> Result<T>;
}

impl<T> OrFailure<T> for turso_core::Result<T> {
    fn or_failure(self) -> Result<T> {
        self.map_err(failure)
    }
}

/// Converts an error of Turso to ours.
pub(super) fn failure(error: LimboError) -> Error {
    let made = match &error {
        LimboError::NotADB | LimboError::UnsupportedEncoding(_) => not_a_database(),
        LimboError::Corrupt(_) | LimboError::Page1NotAlloc => damaged(),
        LimboError::LockingError(_) => {
            busy().help("only one process at a time can use a metastore of Turso; end the other one, or use SQLite")
        }
        LimboError::Busy | LimboError::BusySnapshot | LimboError::TableLocked => busy(),
        LimboError::DatabaseFull => disk_full(),
        LimboError::OutOfMemory | LimboError::TooBig | LimboError::CacheError(_) => too_large(),
        LimboError::ReadOnly => no_permission(),
        LimboError::InvalidColumnType | LimboError::InvalidBlobSize(_) | LimboError::NullValue => wrong_value(),
        LimboError::CompletionError(error) => incomplete(*error),
        LimboError::Interrupt | LimboError::CheckpointFailed(_) => unreadable(),
        _ => misused(),
    };
    made.because(error)
}

/// Calls Turso, which panics if a damaged file breaks its assumptions. After a panic the result is `None`, and the
/// objects that `work` used must not be used again.
pub(super) fn contained<T>(work: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}

/// The error after a panic of Turso.
pub(super) fn broken() -> LimboError {
    LimboError::Corrupt("Turso could not make sense of the file and broke off".to_owned())
}

fn incomplete(error: CompletionError) -> Error {
    match error {
        CompletionError::IOError(Io::PermissionDenied | Io::ReadOnlyFilesystem | Io::NotFound, _) => no_permission(),
        CompletionError::IOError(Io::StorageFull | Io::QuotaExceeded | Io::FileTooLarge, _) => disk_full(),
        #[cfg(unix)]
        CompletionError::RustixIOError(number) => by_number(number.raw_os_error()),
        CompletionError::ShortRead { .. }
        | CompletionError::ShortReadWalFrame { .. }
        | CompletionError::WalFramePageMismatch { .. }
        | CompletionError::ChecksumMismatch { .. } => damaged(),
        _ => unreadable(),
    }
}

#[cfg(unix)]
fn by_number(number: i32) -> Error {
    let kind = std::io::Error::from_raw_os_error(number).kind();
    incomplete(CompletionError::IOError(kind, "system call"))
}

/// Returns whether a COMMIT that failed with `error` is known to have left nothing behind: it was refused before a
/// frame was written, or the frames did not fit.
pub(super) fn applied_nothing(error: &LimboError) -> bool {
    matches!(error, LimboError::Busy | LimboError::BusySnapshot)
        || matches!(error, LimboError::DatabaseFull)
        || matches!(error, LimboError::CompletionError(error) if incomplete(*error).stable_code() == "disk-full")
}

#[cfg(test)]
mod tests {
    use cayenne_format::ErrorKind;

    use super::*;

    #[test]
    fn failures_are_sorted_by_what_a_caller_can_do() {
        let io = |kind| LimboError::CompletionError(CompletionError::IOError(kind, "pwrite"));
        let cases = [
            (LimboError::Corrupt("page".into()), ErrorKind::Corrupt, "corrupt"),
            (LimboError::NotADB, ErrorKind::Corrupt, "corrupt"),
            (LimboError::Busy, ErrorKind::Unavailable, "metastore-busy"),
            (LimboError::BusySnapshot, ErrorKind::Unavailable, "metastore-busy"),
            (LimboError::LockingError("held".into()), ErrorKind::Unavailable, "metastore-busy"),
            (LimboError::DatabaseFull, ErrorKind::ResourceLimit, "disk-full"),
            (io(Io::StorageFull), ErrorKind::ResourceLimit, "disk-full"),
            (io(Io::PermissionDenied), ErrorKind::Invalid, "no-permission"),
            (io(Io::Other), ErrorKind::Unavailable, "unavailable"),
            (LimboError::ReadOnly, ErrorKind::Invalid, "no-permission"),
            (LimboError::TooBig, ErrorKind::ResourceLimit, "resource-limit"),
            (LimboError::Constraint("unique".into()), ErrorKind::Internal, "internal"),
        ];
        for (error, kind, name) in cases {
            let text = error.to_string();
            let error = failure(error);
            assert_eq!((error.kind(), error.stable_code()), (kind, name), "for {text}");
        }
    }

    #[test]
    fn only_what_failed_before_the_last_frame_leaves_no_doubt() {
        let io = |kind, what| LimboError::CompletionError(CompletionError::IOError(kind, what));
        assert!(applied_nothing(&LimboError::BusySnapshot));
        assert!(applied_nothing(&io(Io::StorageFull, "pwrite")));
        assert!(!applied_nothing(&io(Io::Other, "sync")));
    }
}
