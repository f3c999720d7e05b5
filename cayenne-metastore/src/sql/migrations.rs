//! The numbered migrations. A file here is never changed after a release; a new format is a new file.

/// The text of each migration; the first leads from nothing to version 1.
pub(crate) const MIGRATIONS: &[&str] = &[include_str!("0001_manifest.sql")];
