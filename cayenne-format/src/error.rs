//! The one error type of all Cayenne crates.
//!
//! Its kinds say what a caller can do, not where the error arose. Facts are attached as context, not written into the
//! message.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

/// The result of everything in Cayenne that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What a caller can do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The named thing does not exist.
    NotFound,
    /// The named thing exists already.
    AlreadyExists,
    /// A requirement of a commit no longer holds: retry on a fresh snapshot.
    Conflict,
    /// The request is invalid: the caller must change it.
    Invalid,
    /// Cayenne does not do this.
    Unsupported,
    /// Stored bytes are not what was written.
    Corrupt,
    /// An external resource refused or did not answer: retry later.
    Unavailable,
    /// A limit on memory, disk or number was reached.
    ResourceLimit,
    /// An invariant of Cayenne's own code was violated: a bug.
    Internal,
}

impl ErrorKind {
    /// Returns the stable code of an error of this kind that has no narrower code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::NotFound => "not-found",
            Self::AlreadyExists => "already-exists",
            Self::Conflict => "conflict",
            Self::Invalid => "invalid",
            Self::Unsupported => "unsupported",
            Self::Corrupt => "corrupt",
            Self::Unavailable => "unavailable",
            Self::ResourceLimit => "resource-limit",
            Self::Internal => "internal",
        }
    }
}

/// An error: a kind, a stable code, a message of one clause, facts, help, and a cause.
///
/// # Examples
///
/// ```
/// use cayenne_format::{Error, ErrorKind};
///
/// let error = Error::corrupt("file checksum differs from the manifest").with("file", "a.vortex");
/// assert_eq!(error.kind(), ErrorKind::Corrupt);
/// assert_eq!(error.to_string(), "file checksum differs from the manifest (file: a.vortex)");
/// ```
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    code: &'static str,
    message: Cow<'static, str>,
    context: Vec<(&'static str, String)>,
    help: Option<Cow<'static, str>>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

macro_rules! constructors {
    ($($(#[$doc:meta])* $name:ident => $kind:ident),* $(,)?) => {
        $($(#[$doc])*
        #[must_use]
        pub fn $name(message: impl Into<Cow<'static, str>>) -> Self {
            Self::new(ErrorKind::$kind, message)
        })*
    };
}

impl Error {
    /// Returns an error of `kind`. `message` is one lower-case clause without a full stop.
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        let inner =
            Inner { kind, code: kind.code(), message: message.into(), context: Vec::new(), help: None, source: None };
        Self(Box::new(inner))
    }

    constructors! {
        /// Returns an error of kind [`ErrorKind::NotFound`].
        not_found => NotFound,
        /// Returns an error of kind [`ErrorKind::AlreadyExists`].
        already_exists => AlreadyExists,
        /// Returns an error of kind [`ErrorKind::Conflict`].
        conflict => Conflict,
        /// Returns an error of kind [`ErrorKind::Invalid`].
        invalid => Invalid,
        /// Returns an error of kind [`ErrorKind::Unsupported`].
        unsupported => Unsupported,
        /// Returns an error of kind [`ErrorKind::Corrupt`].
        corrupt => Corrupt,
        /// Returns an error of kind [`ErrorKind::Unavailable`].
        unavailable => Unavailable,
        /// Returns an error of kind [`ErrorKind::ResourceLimit`].
        resource_limit => ResourceLimit,
        /// Returns an error of kind [`ErrorKind::Internal`].
        internal => Internal,
    }

    /// Returns an error for a failed file system operation. Its kind follows from the kind of the I/O error.
    #[must_use]
    pub fn io(message: impl Into<Cow<'static, str>>, error: std::io::Error) -> Self {
        use std::io::ErrorKind as Io;
        let made = match error.kind() {
            Io::NotFound => Self::not_found(message),
            Io::AlreadyExists => Self::already_exists(message),
            Io::StorageFull | Io::QuotaExceeded | Io::FileTooLarge => Self::resource_limit(message)
                .code("disk-full")
                .help("free some space and try again; nothing was changed"),
            Io::PermissionDenied | Io::ReadOnlyFilesystem => Self::invalid(message)
                .code("no-permission")
                .help("give this process permission, or open the database read-only"),
            Io::NotADirectory | Io::IsADirectory | Io::InvalidInput => Self::invalid(message),
            Io::UnexpectedEof => Self::corrupt(message),
            _ => Self::unavailable(message),
        };
        made.because(error)
    }

    /// Adds a fact.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        self.0.context.push((name, value.to_string()));
        self
    }

    /// Replaces the code of the kind with a narrower one, which is equally stable.
    #[must_use]
    pub fn code(mut self, code: &'static str) -> Self {
        self.0.code = code;
        self
    }

    /// Adds help: how to fix the error.
    #[must_use]
    pub fn help(mut self, help: impl Into<Cow<'static, str>>) -> Self {
        self.0.help = Some(help.into());
        self
    }

    /// Adds the cause.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(Arc::from(source.into()));
        self
    }

    /// Returns what a caller can do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Returns the stable code, for scripts and for looking it up in the documentation.
    #[must_use]
    pub fn stable_code(&self) -> &'static str {
        self.0.code
    }

    /// Returns the message, without facts.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Returns the facts, in the order in which they were added.
    pub fn facts(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.context.iter().map(|(name, value)| (*name, value.as_str()))
    }

    /// Returns the help, if any: how to fix the error.
    #[must_use]
    pub fn way_to_mend(&self) -> Option<&str> {
        self.0.help.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        for (index, (name, value)) in self.0.context.iter().enumerate() {
            let before = if index == 0 { " (" } else { ", " };
            write!(f, "{before}{name}: {}", value.escape_debug())?;
        }
        if self.0.context.is_empty() { Ok(()) } else { f.write_str(")") }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} [{}]: {self}", self.0.kind, self.0.code)?;
        if let Some(source) = &self.0.source {
            write!(f, ": {source}")?;
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_disk_is_a_resource_limit_that_keeps_its_cause() {
        let error = Error::io("could not write", std::io::ErrorKind::StorageFull.into()).with("file", "x");
        assert_eq!(error.kind(), ErrorKind::ResourceLimit);
        assert_eq!(error.stable_code(), "disk-full");
        assert!(error.source().is_some());
    }

    #[test]
    fn hostile_names_cannot_forge_a_line_of_a_log() {
        let error = Error::invalid("bad name").with("name", "a\nerror: all lost\u{1b}[31m");
        assert!(!error.to_string().contains('\n'));
        assert!(!error.to_string().contains('\u{1b}'));
    }
}
