//! Tables of one session: files that `CREATE EXTERNAL TABLE` registered under a name. The database does not store them.
//!
//! They share the schema `public` with the tables of the database. A name that is already taken is rejected, so neither
//! hides the other.

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
    /// Says whether a table can be a table of a session: only a listing of files can.
    pub(crate) fn takes(table: &dyn TableProvider) -> bool {
        table.downcast_ref::<ListingTable>().is_some()
    }

    pub(crate) fn get(&self, name: &str) -> Option<Arc<dyn TableProvider>> {
        self.0.read().get(name).cloned()
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.0.read().keys().cloned().collect()
    }

    /// Adds a table. Returns the table of the session that it replaces, if any.
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

/// Returns the error for a name that is already taken.
pub(crate) fn taken(name: &str) -> Error {
    Error::already_exists("a table of this name exists")
        .code("table-exists")
        .with("table", name)
        .help("choose another name, or use DROP TABLE first")
}
