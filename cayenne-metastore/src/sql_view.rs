//! Views of SQL, and the part of the metastore that stores them.

use std::fmt;

use arrow_schema::SchemaRef;
use async_trait::async_trait;
use cayenne_format::{Error, Result, TableName, Timestamp};

/// A view of SQL: a named query without rows of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct SqlView {
    /// Its name. Tables and views share one namespace.
    pub name: TableName,
    /// The text after the name in `CREATE VIEW`: a column list if there is one, `AS`, and the query.
    pub definition: String,
    /// The catalog of names without one in the query; `None` is the catalog of the view itself, whatever it is called.
    pub default_catalog: Option<String>,
    /// The schema of names without one in the query.
    pub default_schema: String,
    /// The SQL dialect of the query, as named in `datafusion.sql_parser.dialect`.
    pub dialect: String,
    /// The columns that the query had when the view was created.
    pub columns: SchemaRef,
    /// When it was created; informational only.
    pub made_at: Timestamp,
}

/// Stores views of SQL. Every method is atomic.
#[async_trait]
pub trait SqlViews: fmt::Debug + Send + Sync {
    /// Creates a view. If `replace`, it replaces a view with the same name.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` with code `table-exists` if a table has the name, or with code `view-exists` if a view has it
    /// and `replace` is false.
    async fn create_view(&self, view: &SqlView, replace: bool) -> Result<()>;

    /// Removes a view. Returns whether it existed.
    async fn drop_view(&self, name: &TableName) -> Result<bool>;

    /// Returns one view, or `None` if there is none.
    async fn find_view(&self, name: &TableName) -> Result<Option<SqlView>>;

    /// Returns all views, ordered by name.
    async fn list_views(&self) -> Result<Vec<SqlView>>;
}

/// The error for a table or a view whose name is taken by a view.
pub(crate) fn name_of_view(name: &TableName) -> Error {
    Error::already_exists("a view has this name already")
        .code("view-exists")
        .with("view", name)
        .help("drop the view first, or choose another name")
}

/// The error for a view whose name is taken by a table.
pub(crate) fn name_of_table(name: &TableName) -> Error {
    Error::already_exists("a table has this name already")
        .code("table-exists")
        .with("table", name)
        .help("choose another name, or drop the table first, which deletes its rows")
}
