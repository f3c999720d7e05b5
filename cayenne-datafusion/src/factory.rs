//! `CREATE EXTERNAL TABLE … STORED AS CAYENNE LOCATION 'folder of a database'`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_schema::Schema;
use async_trait::async_trait;
use cayenne_format::{Error, Result as CayenneResult, TableName, stored_schema};
use cayenne_table::{Database, Table};
use datafusion::catalog::{Session, TableProvider, TableProviderFactory};
use datafusion::error::Result;
use datafusion::logical_expr::CreateExternalTable;
use tokio::sync::Mutex;

use crate::error::external;
use crate::keys::{declared_key, same_key, set_key};
use crate::provider::CayenneTable;

/// Opens, or makes, a table of the database at a location.
#[derive(Debug)]
pub(crate) struct CayenneTableFactory {
    /// One handle for each database folder: a process must not be two writers of one table.
    databases: Mutex<HashMap<PathBuf, Arc<Database>>>,
}

impl CayenneTableFactory {
    pub(crate) fn new(database: &Arc<Database>) -> Self {
        let databases = HashMap::from([(absolute(database.root()), Arc::clone(database))]);
        Self { databases: Mutex::new(databases) }
    }

    async fn database(&self, location: &str) -> CayenneResult<Arc<Database>> {
        let root = absolute(&local_path(location)?);
        let mut databases = self.databases.lock().await;
        if let Some(database) = databases.get(&root) {
            return Ok(Arc::clone(database));
        }
        let database = Database::builder(&root).open().await?;
        databases.insert(root, Arc::clone(&database));
        Ok(database)
    }
}

/// Makes a path absolute without asking the file system, so that one folder has one name.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

fn local_path(location: &str) -> CayenneResult<PathBuf> {
    if let Some(path) = location.strip_prefix("file://") {
        return Ok(PathBuf::from(path));
    }
    if location.contains("://") {
        return Err(Error::unsupported("only local folders can hold a database yet").with("location", location));
    }
    Ok(PathBuf::from(location))
}

#[async_trait]
impl TableProviderFactory for CayenneTableFactory {
    async fn create(&self, _: &dyn Session, command: &CreateExternalTable) -> Result<Arc<dyn TableProvider>> {
        let table = self.open_or_create(command).await.map_err(external)?;
        Ok(Arc::new(CayenneTable::new(table)))
    }
}

impl CayenneTableFactory {
    async fn open_or_create(&self, command: &CreateExternalTable) -> CayenneResult<Arc<Table>> {
        let name = TableName::try_from(command.name.table())?;
        refuse_clauses(&name, command)?;
        let [location] = command.locations.as_slice() else {
            return Err(Error::invalid("a Cayenne table has one location").with("table", &name));
        };
        let database = self.database(location).await?;
        let mut options = database.settings().table_options.clone();
        command.options.iter().try_for_each(|(key, value)| options.set(bare_key(key), value))?;
        let declared = command.schema.as_arrow();
        let names: Vec<_> = declared.fields().iter().map(|field| field.name().as_str()).collect();
        let key = declared_key(&name, &names, &command.constraints)?;
        match database.table(&name).await? {
            Some(table) => {
                same_schema(&table, declared)?;
                same_key(&table, &key)?;
                same_options(&table, command)?;
                Ok(table)
            }
            None if declared.fields().is_empty() => Err(Error::invalid("a new table needs columns")
                .with("table", &name)
                .with("location", location)
                .help("list them after the name of the table")),
            None => {
                set_key(&mut options, key);
                database.create_table(&name, declared, options).await
            }
        }
    }
}

/// DataFusion puts `format.` before options that have no prefix.
fn bare_key(key: &str) -> &str {
    key.strip_prefix("format.").unwrap_or(key)
}

fn refuse_clauses(name: &TableName, command: &CreateExternalTable) -> CayenneResult<()> {
    let refused = [
        (!command.table_partition_cols.is_empty(), "PARTITIONED BY"),
        (!command.order_exprs.is_empty(), "WITH ORDER"),
        (!command.column_defaults.is_empty(), "DEFAULT"),
        (command.unbounded, "UNBOUNDED"),
        (command.or_replace, "OR REPLACE"),
    ];
    match refused.iter().find(|(found, _)| *found) {
        None => Ok(()),
        Some((_, clause)) => Err(Error::unsupported("the clause is not supported yet on Cayenne tables")
            .code("unsupported-sql")
            .with("clause", clause)
            .with("table", name)
            .help("leave the clause out")),
    }
}

/// Says that the options of a statement are those of a table that exists: it keeps what it was made with.
fn same_options(table: &Table, command: &CreateExternalTable) -> CayenneResult<()> {
    let mut declared = table.options().clone();
    command.options.iter().try_for_each(|(key, value)| declared.set(bare_key(key), value))?;
    let pairs = declared.to_pairs().into_iter().zip(table.options().to_pairs());
    match pairs.into_iter().find(|((_, declared), (_, found))| declared != found) {
        None => declared.validate(),
        Some(((option, declared), (_, found))) => {
            Err(Error::invalid("the table exists with another value of an option")
                .code("other-options")
                .with("table", table.name())
                .with("option", option)
                .with("declared", declared)
                .with("found", found)
                .help("leave the option out to use the table as it is, or choose another name"))
        }
    }
}

fn same_schema(table: &Table, declared: &Schema) -> CayenneResult<()> {
    if declared.fields().is_empty() {
        return Ok(());
    }
    let declared = stored_schema(declared, table.options().unsupported_type_action)?;
    let columns = |schema: &Schema| -> Vec<_> {
        schema.fields().iter().map(|field| (field.name().clone(), field.data_type().clone())).collect()
    };
    if columns(table.schema()) == columns(&declared) {
        return Ok(());
    }
    Err(Error::invalid("the table exists with other columns")
        .with("table", table.name())
        .help("leave the columns out to open it as it is, or choose another name"))
}
