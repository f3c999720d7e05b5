//! What a session calls the catalog and its schema of tables, unless it chooses other names.

/// The name of the catalog of a database.
pub const CATALOG: &str = "cayenne";
/// The name of the schema of its tables.
pub const SCHEMA: &str = "public";
