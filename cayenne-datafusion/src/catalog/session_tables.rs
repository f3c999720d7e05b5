//! Tables of one session: files that `CREATE EXTERNAL TABLE` gave a name. The database knows nothing of them.
//!
//! They share the names of the schema `public` with the tables of the database, so neither hides the other: a name that is
//! taken is refused.

use std::collections::BTreeMap;
use std::sync::Arc;

use cayenne_format::{Error, TableName};
use datafusion::catalog::TableProvider;
use datafusion::datasource::listing::ListingTable;
use datafusion::error::Result;
use parking_lot::RwLock;

use crate::error::external;

/// The tables of one session, by name.
#[derive(Debug, Default)]
pub(crate) struct SessionTables(RwLock<BTreeMap<String, Arc<dyn TableProvider>>>);

impl SessionTables {
    /// Says whether a table is made of files, and so one that a session can have.
    pub(crate) fn takes(table: &dyn TableProvider) -> bool {
        table.downcast_ref::<ListingTable>().is_some()
    }

    pub(crate) fn get(&self, name: &str) -> Option<Arc<dyn TableProvider>> {
        self.0.read().get(name).cloned()
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.0.read().keys().cloned().collect()
    }

    /// Adds a table, or puts it in the place of one of the session, which it returns.
    pub(crate) fn add(&self, name: &TableName, table: Arc<dyn TableProvider>) -> Option<Arc<dyn TableProvider>> {
        self.0.write().insert(name.to_string(), table)
    }

    pub(crate) fn remove(&self, name: &str) -> Option<Arc<dyn TableProvider>> {
        self.0.write().remove(name)
    }

    /// Returns an error if the session has a table of this name.
    pub(crate) fn refuse(&self, name: &str) -> Result<()> {
        if self.get(name).is_some() { Err(external(taken(name))) } else { Ok(()) }
    }
}

/// Says that a name is taken.
pub(crate) fn taken(name: &str) -> Error {
    Error::already_exists("a table of this name exists")
        .code("table-exists")
        .with("table", name)
        .help("choose another name, or use DROP TABLE first")
}
