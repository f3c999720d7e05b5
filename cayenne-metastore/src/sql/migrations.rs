//! The numbered migrations. A file here is never changed after a release; a new format is a new file.

/// The text of each migration; the first leads from nothing to version 1.
pub(crate) const MIGRATIONS: &[&str] = &[include_str!("0001_manifest.sql"), include_str!("0002_views.sql")];

/// The first version with `cayenne_view`. A file of an earlier one has no views, and can be read all the same.
pub(crate) const VERSION_WITH_VIEWS: i64 = 2;
