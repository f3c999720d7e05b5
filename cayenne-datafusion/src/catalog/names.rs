//! The default names of the catalog and of its schema of tables in a session.

/// The default name of the catalog of a database.
pub const CATALOG: &str = "cayenne";
/// The name of the schema that holds the tables.
pub const SCHEMA: &str = "public";
