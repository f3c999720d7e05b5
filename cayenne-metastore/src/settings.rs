//! Settings for how a process uses the metastore file. None of them is stored in the file.

use std::time::Duration;

use cayenne_format::{Error, Result};

/// When a commit counts as done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Synchronous {
    /// When it is on stable storage: it survives a power cut. The default.
    #[default]
    Full,
    /// When it has reached the operating system: it survives the end of the process, but a power cut may lose the
    /// latest commits. They are lost whole and in order, and the file is never damaged.
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

/// Settings for how a process uses the metastore file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SqliteSettings {
    /// When a commit counts as done. Default [`Synchronous::Full`].
    pub synchronous: Synchronous,
    /// How long to wait for another process that holds the file. At least 100 milliseconds; default 30 seconds.
    pub busy_timeout: Duration,
}

impl Default for SqliteSettings {
    fn default() -> Self {
        Self { synchronous: Synchronous::default(), busy_timeout: Duration::from_secs(30) }
    }
}

impl SqliteSettings {
    /// Checks that the settings are in range.
    ///
    /// # Errors
    ///
    /// `Invalid`, naming the setting that is out of range.
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
