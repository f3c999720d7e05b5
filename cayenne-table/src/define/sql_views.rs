//! Views of SQL: they are stored with the tables, and no view has the name of a table. Their queries are interpreted by
//! the SQL layer only.

use cayenne_format::{Error, Result, TableName};
use cayenne_metastore::SqlView;

use crate::Database;

impl Database {
    /// Returns all views, ordered by name.
    ///
    /// # Errors
    ///
    /// What the metastore returns; `Corrupt` names a view whose record is damaged. [`drop_view`](Self::drop_view) removes it.
    pub async fn views(&self) -> Result<Vec<SqlView>> {
        self.shared.metastore.list_views().await.map_err(mendable)
    }

    /// Returns a view, or `None` if there is none of this name. Each call queries the metastore.
    ///
    /// # Errors
    ///
    /// As [`views`](Self::views).
    pub async fn view(&self, name: &TableName) -> Result<Option<SqlView>> {
        self.shared.metastore.find_view(name).await.map_err(mendable)
    }

    /// Creates a view. If `replace` is true, it replaces the view that has its name. Its `made_at` is set to the
    /// current time. The query is stored as it is, without a check that it can be planned.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` (code `table-exists` or `view-exists`) if the name is taken; `Invalid` (code `read-only`).
    pub async fn create_view(&self, mut view: SqlView, replace: bool) -> Result<()> {
        self.shared.writable()?;
        view.made_at = self.shared.environment.clock.now();
        self.shared.metastore.create_view(&view, replace).await
    }

    /// Drops a view. Returns false if there is no such view. Views that read it stay, and can no longer be read.
    ///
    /// # Errors
    ///
    /// `Invalid` (code `read-only`); what the metastore returns.
    pub async fn drop_view(&self, name: &TableName) -> Result<bool> {
        self.shared.writable()?;
        self.shared.metastore.drop_view(name).await
    }

    /// Returns an error if a view has the name. Called before anything is written for a new table.
    pub(crate) async fn require_no_view(&self, name: &TableName) -> Result<()> {
        match self.view(name).await? {
            None => Ok(()),
            Some(_) => Err(Error::already_exists("a view has this name already")
                .code("view-exists")
                .with("view", name)
                .help("use DROP VIEW first, or choose another name")),
        }
    }
}

fn mendable(error: Error) -> Error {
    match error.way_to_mend() {
        None if error.facts().any(|(name, _)| name == "view") => error.help("DROP VIEW it, and make it again"),
        _ => error,
    }
}
