//! How a process uses the file of the metastore. Nothing here is stored in it.

use std::time::Duration;

use cayenne_format::{Error, Result};

/// When a commit counts as done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Synchronous {
    /// When it is on stable storage: it survives a power cut. The default.
    #[default]
    Full,
    /// When the operating system has it: it survives the end of the process, but a power cut may take the latest commits.
    /// They are lost in order and whole; the file is never damaged by it.
    Normal,
}

impl Synchronous {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Full => "FULL",
            Self::Normal => "NORMAL",
        }
    }
}

/// How a process uses the file of the metastore.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqliteSettings {
    /// When a commit counts as done. Default [`Synchronous::Full`].
    pub synchronous: Synchronous,
    /// How long to wait for another process that holds the file. Default 30 seconds, at least 100 milliseconds.
    pub busy_timeout: Duration,
}

impl Default for SqliteSettings {
    fn default() -> Self {
        Self { synchronous: Synchronous::default(), busy_timeout: Duration::from_secs(30) }
    }
}

impl SqliteSettings {
    /// Says what is wrong with these settings, if anything is.
    ///
    /// # Errors
    ///
    /// `Invalid`, naming the setting.
    pub fn validate(&self) -> Result<()> {
        let longest = Duration::from_millis(i32::MAX.unsigned_abs().into());
        if self.busy_timeout < Duration::from_millis(100) || self.busy_timeout > longest {
            return Err(Error::invalid("the busy timeout of the metastore is out of range")
                .with("setting", "busy_timeout")
                .with("milliseconds", self.busy_timeout.as_millis())
                .help("use 100 to 2147483647 milliseconds"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busy_timeout_has_bounds() {
        let of = |busy_timeout| SqliteSettings { busy_timeout, ..SqliteSettings::default() }.validate();
        assert!(of(Duration::from_millis(100)).is_ok());
        assert!(of(Duration::from_millis(99)).is_err());
        assert!(of(Duration::from_secs(u64::MAX)).is_err(), "rusqlite panics on it");
    }
}
