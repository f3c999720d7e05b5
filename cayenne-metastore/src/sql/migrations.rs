//! The numbered migrations. Their files are never changed after a release; a new format is a new file.

/// The text of each migration. The first creates version 1 in an empty file.
pub(crate) const MIGRATIONS: &[&str] = &[include_str!("0001_manifest.sql"), include_str!("0002_views.sql")];

/// The first version with `cayenne_view`. A file of an earlier version has no views, and can still be read.
pub(crate) const VERSION_WITH_VIEWS: i64 = 2;
