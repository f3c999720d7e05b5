//! Exports and imports one view of SQL as a slice: a small metastore with its definition, and nothing of what it reads.

use std::path::Path;
use std::sync::Arc;

use cayenne_format::{Error, Result, TableName};
use cayenne_metastore::{Metastore, SqlView, SqlViews, SqliteMetastore, SqliteSettings};

use crate::slice::export::{BEING_MADE, claim, complete, remove_what_was_written};
use crate::slice::import::damaged;
use crate::{Database, ImportOptions, task};

impl Database {
    /// Exports a view into a folder as a slice: `metadata.db`, a SQLite metastore with this view alone. The tables and
    /// views that it reads are not in the slice.
    ///
    /// The folder is created if it is missing, and refused if it is not empty. The slice is durable when this returns.
    ///
    /// # Errors
    ///
    /// `NotFound` (code `no-view`); `AlreadyExists` (code `folder-not-empty`); what the file system returns. On an
    /// error, nothing is left that could be taken for a slice.
    pub async fn export_view(&self, name: &TableName, folder: &Path) -> Result<()> {
        let folder = std::path::absolute(folder)
            .map_err(|error| Error::invalid("the folder of the slice cannot be used").because(error))?;
        let found = self.view(name).await?;
        let view = found.ok_or_else(|| Error::not_found("there is no such view").code("no-view").with("view", name))?;
        claim(self.shared.fs.as_ref(), &folder).map_err(|error| error.with("folder", folder.display()))?;
        let shared = Arc::clone(&self.shared);
        task::to_the_end(async move {
            let file = folder.join(BEING_MADE);
            let steps = Arc::clone(&shared.environment.steps);
            let written = async {
                let metastore = SqliteMetastore::open(&file, SqliteSettings::default(), steps).await?;
                let created = metastore.create_view(&view, false).await;
                let closed = metastore.close().await;
                created.and(closed)?;
                complete(shared.fs.as_ref(), &folder)
            };
            let written = written.await;
            if written.is_err() {
                remove_what_was_written(shared.fs.as_ref(), &folder);
            }
            written.map_err(|error| error.with("view", &view.name))
        })
        .await
    }

    /// Creates a view from a slice, a folder that [`export_view`](Self::export_view) has written, and returns its name.
    /// Returns `None` for a slice of a table, which [`import`](Self::import) reads. The tables and views that the view
    /// reads are looked up when it is used.
    ///
    /// # Errors
    ///
    /// `AlreadyExists` if the name is taken, by a table or by a view that is not to be replaced; `NotFound` (code
    /// `no-slice`) if there is no slice; `Corrupt` for one that is damaged. On an error, nothing is changed.
    pub async fn import_view(&self, folder: &Path, options: &ImportOptions) -> Result<Option<TableName>> {
        self.shared.writable()?;
        let of_slice = |error: Error| error.with("slice", folder.display());
        let Some(mut view) = self.view_of_slice(folder).await.map_err(of_slice)? else { return Ok(None) };
        if let Some(name) = &options.name {
            view.name = name.clone();
        }
        let name = view.name.clone();
        self.create_view(view, options.replace).await?;
        Ok(Some(name))
    }

    async fn view_of_slice(&self, folder: &Path) -> Result<Option<SqlView>> {
        let folder = std::path::absolute(folder)
            .map_err(|error| Error::invalid("the folder of the slice cannot be used").because(error))?;
        let file = self.require_slice(&folder)?;
        let metastore = SqliteMetastore::open_read_only(&file, SqliteSettings::default()).await?;
        let read = async { Ok((metastore.list_tables().await?, metastore.list_views().await?)) };
        let read: Result<_> = read.await;
        metastore.close().await?;
        let (tables, mut views) = read?;
        match (tables.len(), views.pop(), views.len()) {
            (0, Some(view), 0) => Ok(Some(view)),
            (_, None, _) => Ok(None),
            _ => Err(damaged("a slice has one table or one view, no less and no more")),
        }
    }
}
