//! Names and numbers that identify things. None of them is ever reused.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use crate::{Error, Ids, Result, Timestamp};

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// Returns a new id, which sorts after all ids drawn before it.
            pub fn draw(ids: &dyn Ids) -> Self {
                Self(ids.draw())
            }

            /// Returns the id with these 16 bytes.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }

            /// Returns the 16 bytes of the id.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0.hyphenated(), f)
            }
        }

        impl FromStr for $name {
            type Err = Error;

            fn from_str(text: &str) -> Result<Self> {
                Uuid::try_parse(text).map(Self).map_err(|error| {
                    Error::invalid(concat!("not a ", $what, " id")).with("text", text).because(error)
                })
            }
        }
    };
}

uuid_id! {
    /// Identifies a table permanently, across renames of anything else.
    TableId, "table"
}
uuid_id! {
    /// Identifies a data file, deletion file or tombstone file permanently.
    FileId, "file"
}
uuid_id! {
    /// Identifies a commit. Applying a commit with the same id twice has the effect of applying it once.
    CommitId, "commit"
}

uuid_id! {
    /// Identifies a reader process for as long as it runs.
    ReaderId, "reader"
}

impl FileId {
    /// Returns the time at which the id was drawn, in milliseconds, by the clock of the process that drew it; `None` if
    /// the id does not contain a time.
    #[must_use]
    pub fn made_at(&self) -> Option<Timestamp> {
        let (seconds, nanos) = self.0.get_timestamp()?.to_unix();
        let micros = i64::try_from(seconds).ok()?.checked_mul(1_000_000)?;
        micros.checked_add(i64::from(nanos / 1_000)).map(Timestamp)
    }
}

/// The number of a commit within its table. Later commits have larger numbers; the empty table before its first commit
/// is at 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sequence(u64);

impl Sequence {
    /// The state of a table before its first commit.
    pub const ZERO: Self = Self(0);

    /// The largest sequence that a metastore can store.
    pub const MAX: Self = Self(i64::MAX.unsigned_abs());

    /// Returns the sequence with this number.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`](crate::ErrorKind::Invalid) above [`Sequence::MAX`].
    pub fn new(number: u64) -> Result<Self> {
        if number > Self::MAX.0 {
            return Err(Error::invalid("sequence is out of range").with("sequence", number));
        }
        Ok(Self(number))
    }

    /// Returns the number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }

    /// Returns the next sequence.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ResourceLimit`](crate::ErrorKind::ResourceLimit) after [`Sequence::MAX`]; it never wraps.
    pub fn next(self) -> Result<Self> {
        if self >= Self::MAX {
            return Err(Error::resource_limit("the table has used up its sequences"));
        }
        Ok(Self(self.0 + 1))
    }

    /// Says whether a deletion with this sequence hides a row with sequence `row`. It hides only rows of earlier
    /// commits.
    #[must_use]
    pub fn hides(self, row: Self) -> bool {
        row < self
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The number of writers that a table has had. Only the latest writer may commit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WriterEpoch(u64);

impl WriterEpoch {
    /// The epoch of a table that no writer has opened yet.
    pub const NONE: Self = Self(0);

    /// Returns the epoch with this number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Returns the number.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }
}

impl fmt::Display for WriterEpoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The name of a table: 1 to 128 bytes of text that no file system, log or query language can misread.
///
/// Names are compared byte for byte; `A` and `a` are two tables.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableName(String);

impl TableName {
    /// The longest name, in bytes.
    pub const MAX_BYTES: usize = 128;

    /// Returns the name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for TableName {
    type Error = Error;

    fn try_from(text: &str) -> Result<Self> {
        match fault(text) {
            None => Ok(Self(text.to_owned())),
            Some(why) => Err(Error::invalid("invalid table name")
                .code("invalid-table-name")
                .with("name", text)
                .with("why", why)
                .help("use 1 to 128 bytes without '/', '\\', '$' and control characters")),
        }
    }
}

fn fault(text: &str) -> Option<&'static str> {
    if text.is_empty() {
        return Some("it is empty");
    }
    if text.len() > TableName::MAX_BYTES {
        return Some("it is longer than 128 bytes");
    }
    if text == "." || text == ".." {
        return Some("it names a folder");
    }
    if text.contains(['/', '\\']) {
        return Some("it contains a path separator");
    }
    // `t$files` is how SQL names the system tables of `t`.
    if text.contains('$') {
        return Some("it contains '$', which separates a table from its system tables");
    }
    text.chars().any(char::is_control).then_some("it contains a control character")
}

impl FromStr for TableName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Self::try_from(text)
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_names_are_refused_by_name() {
        for text in ["", ".", "..", "../x", "a/b", "a\\b", "a\0b", "a\nb", "t$files", &"x".repeat(129)] {
            assert!(TableName::try_from(text).is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn odd_but_harmless_names_are_accepted() {
        for text in ["CON", "a b", "Ünïcode", "🌶", "a%2e", "semi;colon", "\"quoted\"", "...", &"x".repeat(128)] {
            assert!(TableName::try_from(text).is_ok(), "{text:?} was refused");
        }
    }

    #[test]
    fn the_last_sequence_has_no_successor() {
        assert!(Sequence::MAX.next().is_err());
        assert!(Sequence::new(u64::MAX).is_err());
    }
}
