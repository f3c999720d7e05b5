//! Reads what can still be read of the old metastore, and changes nothing in it.

use std::collections::BTreeMap;

use cayenne_format::{Error, ErrorKind, Result, TableCommit, TableId, TableState};
use cayenne_metastore::{Metastore, SqlView, TableKey, TableRecord};

use super::Rebuild;
use crate::Access;
use crate::handle::backend;
use crate::recovery::table_state;

/// What the old metastore tells.
#[derive(Default)]
pub(super) struct Old {
    /// Whether all of it could be read.
    pub(super) is_whole: bool,
    pub(super) records: BTreeMap<TableId, TableRecord>,
    /// The views, if all of them could be read.
    pub(super) views: Vec<SqlView>,
    /// The state of each table that could be read completely.
    pub(super) told: BTreeMap<TableId, Told>,
}

pub(super) struct Told {
    pub(super) state: TableState,
    pub(super) staged: Vec<TableCommit>,
}

impl Rebuild {
    /// Reads what can be read of the metastore, and changes nothing in it.
    pub(super) async fn read_old(&self, folders: &[(String, TableId)]) -> Result<Old> {
        let opened = backend::open(&self.root, Access::ReadOnly, &self.settings, &self.environment).await;
        let metastore = match opened {
            Ok(metastore) => metastore,
            Err(error) if is_destroyed(&error) => return Ok(Old::default()),
            Err(error) => return Err(error),
        };
        let old = self.read_tables(metastore.as_ref(), folders).await;
        metastore.close().await?;
        old
    }

    async fn read_tables(&self, metastore: &dyn Metastore, folders: &[(String, TableId)]) -> Result<Old> {
        let mut old = Old { is_whole: true, ..Old::default() };
        let records = match metastore.list_tables().await {
            Ok(records) => records,
            Err(error) if is_destroyed(&error) => {
                // The row of one table is damaged: the others can be read one by one.
                old.is_whole = false;
                find_one_by_one(metastore, folders).await?
            }
            Err(error) => return Err(error),
        };
        match metastore.list_views().await {
            Ok(views) => old.views = views,
            Err(error) if is_destroyed(&error) => old.is_whole = false,
            Err(error) => return Err(error),
        }
        for record in records {
            match read_table(metastore, record.id).await {
                Ok(told) => drop(old.told.insert(record.id, told)),
                Err(error) if is_destroyed(&error) => old.is_whole = false,
                Err(error) => return Err(error),
            }
            old.records.insert(record.id, record);
        }
        Ok(old)
    }
}

async fn find_one_by_one(metastore: &dyn Metastore, folders: &[(String, TableId)]) -> Result<Vec<TableRecord>> {
    let mut records = Vec::new();
    for (_, id) in folders {
        match metastore.find_table(&TableKey::Id(*id)).await {
            Ok(found) => records.extend(found),
            Err(error) if is_destroyed(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(records)
}

async fn read_table(metastore: &dyn Metastore, table: TableId) -> Result<Told> {
    let state = table_state::load(metastore, table).await?;
    metastore.load_log(table).await?;
    let staged = metastore.load_staged(table).await?;
    // A staged commit that cannot be read could not be published either.
    Ok(Told { state, staged: staged.into_iter().filter_map(|staged| staged.commit.ok()).collect() })
}

/// Returns whether the error says that something is destroyed, and not merely of another version, busy or forbidden.
fn is_destroyed(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::NotFound) || error.stable_code() == "foreign-metastore"
}
