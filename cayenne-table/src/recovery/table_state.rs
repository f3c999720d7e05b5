//! Reads the state of a table from a metastore.

use std::sync::Arc;

use cayenne_format::{DataFile, NewDataFile, Result, TableId, TableState};
use cayenne_metastore::Metastore;

/// Returns the current state of a table, which must not change meanwhile.
pub(crate) async fn load(metastore: &dyn Metastore, table: TableId) -> Result<TableState> {
    let snapshot = metastore.load_snapshot(table, None).await?;
    Ok(TableState {
        sequence: snapshot.sequence(),
        files: with_blocks(metastore, table, snapshot.files()).await?,
        deletions: snapshot.deletions().map(|deletion| deletion.as_ref().clone()).collect(),
        tombstones: snapshot.tombstones().map(|file| file.as_ref().clone()).collect(),
        sources: metastore.load_sources(table).await?,
    })
}

/// Returns data files with their block checksums.
pub(crate) async fn with_blocks(
    metastore: &dyn Metastore,
    table: TableId,
    files: impl ExactSizeIterator<Item = &Arc<DataFile>>,
) -> Result<Vec<NewDataFile>> {
    let mut new = Vec::with_capacity(files.len());
    for file in files {
        let blocks = metastore.load_blocks(table, file.id).await?;
        new.push(NewDataFile { file: file.as_ref().clone(), blocks });
    }
    Ok(new)
}
