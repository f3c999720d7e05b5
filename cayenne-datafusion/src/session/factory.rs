//! `CREATE EXTERNAL TABLE … STORED AS CAYENNE LOCATION 'folder of a database'`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_schema::Schema;
use async_trait::async_trait;
use cayenne_format::{Error, Result as CayenneResult, TableName, TableOptions, path, stored_schema};
use cayenne_table::{Database, Table, TableDefinition};
use datafusion::catalog::{Session, TableProvider, TableProviderFactory};
use datafusion::error::Result;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::CreateExternalTable;
use tokio::sync::Mutex;

use crate::catalog::names::SCHEMA;
use crate::catalog::provider::{CayenneCatalog, elsewhere};
use crate::columns::defaults::DefaultReader;
use crate::error::external;
use crate::keys::declared::{declared_key, same_key, set_key};
use crate::provider::CayenneTable;

/// Opens or creates a table in the database at a location.
#[derive(Debug)]
pub(crate) struct CayenneTableFactory {
    /// One handle for each database folder, because a process must not be two writers of one table.
    databases: Mutex<HashMap<PathBuf, Arc<Database>>>,
}

impl CayenneTableFactory {
    pub(crate) fn new(database: &Arc<Database>) -> Self {
        let databases = HashMap::from([(absolute(database.root()), Arc::clone(database))]);
        Self { databases: Mutex::new(databases) }
    }
}

/// Makes a path absolute without accessing the file system, so that each folder has one name.
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
    async fn create(&self, state: &dyn Session, command: &CreateExternalTable) -> Result<Arc<dyn TableProvider>> {
        let table = self.open_or_create(state, command).await.map_err(external)?;
        Ok(Arc::new(CayenneTable::new(table)))
    }
}

impl CayenneTableFactory {
    /// Opens or creates the table. Every check that needs no database runs before the folder is opened or created.
    async fn open_or_create(&self, state: &dyn Session, command: &CreateExternalTable) -> CayenneResult<Arc<Table>> {
        let name = TableName::try_from(command.name.table())?;
        refuse_clauses(&name, command)?;
        let [location] = command.locations.as_slice() else {
            return Err(Error::invalid("a Cayenne table has one location").with("table", &name));
        };
        let root = absolute(&local_path(location)?);
        refuse_elsewhere(state, command, &name, &root)?;
        let mut databases = self.databases.lock().await;
        let options = databases.get(&root).map(|database| database.settings().table_options.clone());
        let declared = Declared::by(command, &name, options.unwrap_or_default()).await?;
        if declared.schema.fields().is_empty() && is_new(&root)? {
            return Err(no_columns(&name, location));
        }
        let database = match databases.get(&root) {
            Some(database) => Arc::clone(database),
            None => Database::builder(&root).open().await?,
        };
        databases.insert(root, Arc::clone(&database));
        drop(databases);
        match database.table(&name).await? {
            Some(table) => {
                same_schema(&table, declared.schema)?;
                same_key(&table, &declared.key)?;
                same_defaults(&table, &declared.options)?;
                same_options(&table, command)?;
                Ok(table)
            }
            None if declared.schema.fields().is_empty() => Err(no_columns(&name, location)),
            None => database.create_table(&name, declared.schema, declared.options).await,
        }
    }
}

/// What a statement declares about a table.
struct Declared<'c> {
    schema: &'c Schema,
    key: Vec<String>,
    /// All options, including the key and the defaults.
    options: TableOptions,
}

impl<'c> Declared<'c> {
    /// Returns the declarations of a statement, whether or not the table exists.
    async fn by(command: &'c CreateExternalTable, name: &TableName, mut options: TableOptions) -> CayenneResult<Self> {
        command.options.iter().try_for_each(|(key, value)| options.set(bare_key(key), value))?;
        let schema = command.schema.as_arrow();
        let names: Vec<_> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        let key = declared_key(name, &names, &command.constraints)?;
        if schema.fields().is_empty() {
            return Ok(Self { schema, key, options });
        }
        set_key(&mut options, key.clone());
        let definition = TableDefinition::new(name, schema, options.clone())?;
        let defaults: Vec<_> = command.column_defaults.clone().into_iter().collect();
        options.column_defaults = DefaultReader::default().texts(name, definition.schema(), &defaults).await?;
        Ok(Self { schema, key, options })
    }
}

/// Says whether a folder contains no database yet.
fn is_new(root: &Path) -> CayenneResult<bool> {
    let found = root.join(path::METADATA_FOLDER).try_exists();
    found
        .map(|found| !found)
        .map_err(|error| Error::io("the folder of a database cannot be read", error).with("location", root.display()))
}

fn no_columns(name: &TableName, location: &str) -> Error {
    Error::invalid("a new table needs columns")
        .with("table", name)
        .with("location", location)
        .help("list them after the name of the table")
}

/// Returns an error if the table is to be in the catalog of another Cayenne database, or in another schema of it.
fn refuse_elsewhere(
    state: &dyn Session,
    command: &CreateExternalTable,
    name: &TableName,
    root: &Path,
) -> CayenneResult<()> {
    let Some(state) = state.as_any().downcast_ref::<SessionState>() else { return Ok(()) };
    let options = &state.config_options().catalog;
    let resolved = command.name.clone().resolve(&options.default_catalog, &options.default_schema);
    let catalog = state.catalog_list().catalog(&resolved.catalog);
    let Some(catalog) = catalog.as_ref().and_then(|catalog| catalog.downcast_ref::<CayenneCatalog>()) else {
        return Ok(());
    };
    let is_here = resolved.schema.as_ref() == SCHEMA && absolute(catalog.database().root()) == root;
    if is_here { Ok(()) } else { Err(elsewhere(name)) }
}

/// Returns an option's name without the prefix `format.`, which DataFusion adds to options without a prefix.
fn bare_key(key: &str) -> &str {
    key.strip_prefix("format.").unwrap_or(key)
}

fn refuse_clauses(name: &TableName, command: &CreateExternalTable) -> CayenneResult<()> {
    let refused = [
        (!command.table_partition_cols.is_empty(), "PARTITIONED BY"),
        (!command.order_exprs.is_empty(), "WITH ORDER"),
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

/// Checks that the options in a statement equal those of the existing table, which keeps the options it was created
/// with.
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

/// Checks that the defaults in a statement equal those of the existing table.
fn same_defaults(table: &Table, declared: &TableOptions) -> CayenneResult<()> {
    let known = &table.options().column_defaults;
    match declared.column_defaults.iter().find(|(column, text)| known.get(*column) != Some(*text)) {
        None => Ok(()),
        Some((column, text)) => Err(Error::invalid("the table exists with another default of a column")
            .code("other-default")
            .with("table", table.name())
            .with("column", column)
            .with("declared", text)
            .with("found", known.get(column).map_or("none", String::as_str))
            .help("leave the default out to use the table as it is, or choose another name")),
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
