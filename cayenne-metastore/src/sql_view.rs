//! Views of SQL, and the part of the metastore that keeps them.

use std::fmt;

use arrow_schema::SchemaRef;
use async_trait::async_trait;
use cayenne_format::{Error, Result, TableName, Timestamp};

/// A view of SQL: a query under a name. It has no rows of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct SqlView {
    /// Its name. Tables and views share one set of names.
    pub name: TableName,
    /// What follows the name in `CREATE VIEW`: a list of columns if there is one, `AS`, and the query.
    pub definition: String,
    /// What a name without a catalog means in the query; `None` for the catalog that the view is in, whatever it is called.
    pub default_catalog: Option<String>,
    /// What a name without a schema means in the query.
    pub default_schema: String,
    /// The dialect of SQL that the query is written in, by its name in `datafusion.sql_parser.dialect`.
    pub dialect: String,
    /// The columns that the query had when the view was made.
    pub columns: SchemaRef,
    /// When it was made, for people.
    pub made_at: Timestamp,
}

/// Remembers views of SQL. Every method is atomic.
#[async_trait]
pub trait SqlViews: fmt::Debug + Send + Sync {
    /// Makes a view; if `replace`, in place of the view that has its name.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` (code `table-exists`) if a table has the name, and (code `view-exists`) if a view has it that is
    /// not to be replaced.
    async fn create_view(&self, view: &SqlView, replace: bool) -> Result<()>;

    /// Forgets a view. Returns whether there was one.
    async fn drop_view(&self, name: &TableName) -> Result<bool>;

    /// Returns one view, or `None` if there is none.
    async fn find_view(&self, name: &TableName) -> Result<Option<SqlView>>;

    /// Returns all views, ordered by name.
    async fn list_views(&self) -> Result<Vec<SqlView>>;
}

/// The error for a table or a view whose name is that of a view.
pub(crate) fn name_of_view(name: &TableName) -> Error {
    Error::already_exists("a view has this name already")
        .code("view-exists")
        .with("view", name)
        .help("drop the view first, or choose another name")
}

/// The error for a view whose name is that of a table.
pub(crate) fn name_of_table(name: &TableName) -> Error {
    Error::already_exists("a table has this name already")
        .code("table-exists")
        .with("table", name)
        .help("choose another name, or drop the table first, which deletes its rows")
}
