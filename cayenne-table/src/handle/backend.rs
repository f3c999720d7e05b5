//! Selects and opens the metastore of a database.

use crate::Backend;
use std::path::Path;
use std::sync::Arc;

use cayenne_format::{Environment, Error, Result, path};
#[cfg(feature = "turso")]
use cayenne_metastore::TursoMetastore;
use cayenne_metastore::{Metastore, SqliteMetastore};

use crate::{Access, DatabaseSettings};

/// Opens the metastore of a database. Creates it if it does not exist and `access` allows writing.
pub(crate) async fn open(
    root: &Path,
    access: Access,
    settings: &DatabaseSettings,
    environment: &Environment,
) -> Result<Arc<dyn Metastore>> {
    let folder = root.join(path::METADATA_FOLDER);
    refuse_other(&folder, settings.backend)?;
    open_at(&folder.join(settings.backend.file()), access, settings, environment).await
}

/// Opens the metastore in this file.
pub(crate) async fn open_at(
    path: &Path,
    access: Access,
    settings: &DatabaseSettings,
    environment: &Environment,
) -> Result<Arc<dyn Metastore>> {
    match settings.backend {
        Backend::Sqlite => open_sqlite(path, access, settings, environment).await,
        Backend::Turso => open_turso(path, access, settings, environment).await,
    }
}

/// Returns an error (code `other-metastore`) if the folder has the metastore file of another backend: a second
/// metastore is never created next to an existing one.
pub(crate) fn refuse_other(folder: &Path, wanted: Backend) -> Result<()> {
    let other = Backend::ALL.into_iter().find(|other| *other != wanted && folder.join(other.file()).exists());
    match other {
        None => Ok(()),
        Some(other) => Err(Error::unsupported("the database was created with another metastore")
            .code("other-metastore")
            .with("found", other)
            .with("wanted", wanted)
            .with("file", folder.join(other.file()).display())
            .help(format!("open it with --metastore {other}, or with this backend in the settings of the database"))),
    }
}

async fn open_sqlite(
    path: &Path,
    access: Access,
    settings: &DatabaseSettings,
    environment: &Environment,
) -> Result<Arc<dyn Metastore>> {
    let of_metastore = settings.metastore.clone();
    Ok(match access {
        Access::ReadWrite => Arc::new(SqliteMetastore::open(path, of_metastore, Arc::clone(&environment.steps)).await?),
        Access::ReadOnly => Arc::new(SqliteMetastore::open_read_only(path, of_metastore).await?),
    })
}

#[cfg(feature = "turso")]
async fn open_turso(
    path: &Path,
    access: Access,
    settings: &DatabaseSettings,
    environment: &Environment,
) -> Result<Arc<dyn Metastore>> {
    let of_metastore = settings.metastore.clone();
    Ok(match access {
        Access::ReadWrite => Arc::new(TursoMetastore::open(path, of_metastore, Arc::clone(&environment.steps)).await?),
        Access::ReadOnly => Arc::new(TursoMetastore::open_read_only(path, of_metastore).await?),
    })
}

#[cfg(not(feature = "turso"))]
#[expect(clippy::unused_async, reason = "it is async where the feature is on")]
async fn open_turso(_: &Path, _: Access, _: &DatabaseSettings, _: &Environment) -> Result<Arc<dyn Metastore>> {
    Err(Error::unsupported("the metastore 'turso' needs a build with the feature 'turso'")
        .code("no-turso")
        .help("build with --features turso, or use --metastore sqlite"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backends_are_read_by_their_names() {
        for backend in Backend::ALL {
            assert_eq!(backend.to_string().to_uppercase().parse::<Backend>().unwrap(), backend);
        }
        assert!("postgres".parse::<Backend>().unwrap_err().way_to_mend().unwrap().contains("turso"));
    }
}
