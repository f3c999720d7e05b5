//! The errors that all backends share, classified by what a caller can do.

use std::path::Path;
use std::time::Duration;

use cayenne_format::{Error, ErrorKind, Result};

/// The pauses between retries. They start short, because most transactions are short.
const PAUSE_FIRST: Duration = Duration::from_millis(1);
const PAUSE_MAX: Duration = Duration::from_millis(32);

/// The code of [`busy`].
const BUSY: &str = "metastore-busy";

/// The error for a file, or a part of it, that another process holds.
pub(crate) fn busy() -> Error {
    Error::unavailable("the metastore is busy with another process").code(BUSY).help("try again")
}

/// Retries `work` while it fails as busy, for about `patience`.
pub(crate) fn while_busy<T>(patience: Duration, mut work: impl FnMut() -> Result<T>) -> Result<T> {
    let (mut waited, mut pause) = (Duration::ZERO, PAUSE_FIRST);
    loop {
        match work() {
            Err(error) if error.stable_code() == BUSY && waited < patience => std::thread::sleep(pause),
            ended => return ended,
        }
        waited += pause;
        pause = PAUSE_MAX.min(pause * 2);
    }
}

pub(crate) fn not_a_database() -> Error {
    Error::corrupt("the metastore file is not a database, or its header is damaged")
}

pub(crate) fn damaged() -> Error {
    Error::corrupt("the metastore file is damaged")
}

pub(crate) fn wrong_value() -> Error {
    Error::corrupt("a stored value is not of the kind that was written")
}

pub(crate) fn disk_full() -> Error {
    Error::resource_limit("the disk of the metastore is full")
        .code("disk-full")
        .help("free some space and try again; nothing was changed")
}

pub(crate) fn too_large() -> Error {
    Error::resource_limit("the metastore cannot hold this much")
}

pub(crate) fn no_permission() -> Error {
    Error::invalid("the metastore file cannot be opened or written")
        .code("no-permission")
        .help("give this process permission, or open the database read-only")
}

pub(crate) fn unreadable() -> Error {
    Error::unavailable("the metastore file cannot be read or written")
}

pub(crate) fn misused() -> Error {
    Error::internal("the metastore was used in a wrong way")
}

/// Adds the path to an error that the file itself causes; a conflict needs no path.
pub(crate) fn at(path: &Path, error: Error) -> Error {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::AlreadyExists | ErrorKind::Conflict | ErrorKind::Invalid => error,
        _ => named(path, error),
    }
}

/// Returns the error for a file that cannot be opened. An internal error of the backend counts as damage here.
pub(crate) fn while_opening(path: &Path, error: Error) -> Error {
    match error.kind() {
        ErrorKind::Internal => named(path, damaged().because(error)),
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

    #[test]
    fn only_what_is_busy_is_tried_again_and_not_for_ever() {
        let mut tries = 0;
        let mut fail = |error: &Error| {
            tries = 0;
            while_busy(Duration::from_millis(20), || -> Result<()> {
                tries += 1;
                Err(error.clone())
            })
            .unwrap_err();
            tries
        };
        assert_eq!(fail(&disk_full()), 1);
        assert_eq!(fail(&busy()), 6, "after 1, 2, 4, 8 and 16 milliseconds");
    }
}
