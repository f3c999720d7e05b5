//! The DataFusion catalog of a database.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow_schema::FieldRef;
use async_trait::async_trait;
use cayenne_format::{Error, TableName};
use cayenne_table::{Database, SqlView, Table, TableDefinition};
use datafusion::catalog::{CatalogProvider, SchemaProvider, TableProvider};
use datafusion::datasource::MemTable;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::TableType;

use crate::blocking::wait;
use crate::catalog::names::SCHEMA;
use crate::catalog::session_tables::{self, SessionTables};
use crate::catalog::session_views::SessionViews;
use crate::catalog::system;
use crate::catalog::view_plan;
use crate::catalog::view_table::CayenneView;
use crate::columns::defaults::DefaultReader;
use crate::error::external;
use crate::files;
use crate::keys::declared::{declared_key, set_key};
use crate::provider::CayenneTable;
use crate::write::target::NewColumns;

/// The catalog of a database: the schema `public` holds its tables and views, the schema `system` its system tables.
#[derive(Debug)]
pub struct CayenneCatalog {
    tables: Arc<Tables>,
    system: Arc<System>,
}

impl CayenneCatalog {
    /// Returns the catalog of a database.
    #[must_use]
    pub fn new(database: Arc<Database>) -> Self {
        let tables = Tables {
            database: Arc::clone(&database),
            views: SessionViews::default(),
            session: SessionTables::default(),
            defaults: Arc::default(),
        };
        Self { tables: Arc::new(tables), system: Arc::new(System { database }) }
    }

    /// Returns the tables that only this DataFusion session has.
    pub(crate) fn session_tables(&self) -> &SessionTables {
        &self.tables.session
    }

    /// Returns the database.
    #[must_use]
    pub fn database(&self) -> &Arc<Database> {
        &self.tables.database
    }

    pub(crate) fn tables(&self) -> &Arc<Tables> {
        &self.tables
    }
}

const SYSTEM: &str = "system";

impl CatalogProvider for CayenneCatalog {
    fn schema_names(&self) -> Vec<String> {
        vec![SCHEMA.to_owned(), SYSTEM.to_owned()]
    }

    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        match name {
            SCHEMA => Some(Arc::clone(&self.tables) as _),
            SYSTEM => Some(Arc::clone(&self.system) as _),
            _ => None,
        }
    }
}

/// The schema `public`: tables and views of the database and of the session.
#[derive(Debug)]
pub(crate) struct Tables {
    pub(crate) database: Arc<Database>,
    pub(crate) views: SessionViews,
    session: SessionTables,
    defaults: Arc<DefaultReader>,
}

impl Tables {
    /// Returns the provider for a name: a system table of one table (`t$files`), a table, a view, a table of the
    /// session, or a file.
    async fn find(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        if let Some((table, aspect)) = name.split_once('$') {
            let Some(table) = self.handle(table).await? else {
                return Ok(None);
            };
            return system::aspect_of(&table, aspect).await;
        }
        if let Some(view) = self.temporary_view(name).await? {
            return Ok(Some(view));
        }
        if let Some(table) = self.handle(name).await? {
            let shared = view_plan::shared_view(table.id());
            return Ok(Some(Arc::new(CayenneTable::for_statement(table, shared, &self.defaults))));
        }
        if let Some(view) = self.kept_view(name).await? {
            return Ok(Some(view));
        }
        match self.session.get(name).filter(|_| view_plan::sees_session()) {
            Some(table) => Ok(Some(table)),
            None => files::open(name).await,
        }
    }

    async fn temporary_view(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let view = TableName::try_from(name).ok().and_then(|name| self.views.temporary(&name));
        match view.filter(|_| view_plan::sees_session()) {
            Some(view) => self.planned(&view, false).await.map(Some),
            None => Ok(None),
        }
    }

    async fn kept_view(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        let Ok(name) = TableName::try_from(name) else { return Ok(None) };
        view_plan::refuse_cycle(self, name.as_str())?;
        match self.database.view(&name).await.map_err(external)? {
            Some(view) => self.planned(&view, true).await.map(Some),
            None if self.views.temporary(&name).is_some() => Err(external(of_session_only(&name))),
            None => Ok(None),
        }
    }

    async fn planned(&self, view: &SqlView, is_kept: bool) -> Result<Arc<dyn TableProvider>> {
        view_plan::refuse_cycle(self, view.name.as_str())?;
        match view_plan::plan_view(self, view, is_kept).await {
            Err(error) if view_plan::is_cycle(&error) => Err(error),
            planned => Ok(Arc::new(CayenneView::new(view, planned))),
        }
    }

    async fn is_view(&self, name: &TableName) -> cayenne_format::Result<bool> {
        Ok(self.views.temporary(name).is_some() || self.database.view(name).await?.is_some())
    }

    fn drop_view(&self, name: &TableName) -> cayenne_format::Result<Option<SqlView>> {
        if let Some(view) = self.views.forget(name) {
            return Ok(Some(view));
        }
        wait(async {
            let Some(view) = self.database.view(name).await? else { return Ok(None) };
            Ok(self.database.drop_view(name).await?.then_some(view))
        })
    }

    /// Returns the name under which the session has registered the catalog of these tables.
    pub(crate) fn catalog_name(&self, state: &SessionState) -> Option<String> {
        let list = state.catalog_list();
        let is_it = |name: &String| {
            let catalog = list.catalog(name);
            let tables = catalog.as_ref().and_then(|catalog| catalog.downcast_ref::<CayenneCatalog>());
            tables.is_some_and(|catalog| std::ptr::eq(Arc::as_ptr(&catalog.tables), self))
        };
        list.catalog_names().into_iter().find(is_it)
    }

    async fn handle(&self, name: &str) -> Result<Option<Arc<Table>>> {
        // An invalid table name cannot name an existing table.
        let Ok(name) = TableName::try_from(name) else {
            return Ok(None);
        };
        self.database.table(&name).await.map_err(external)
    }

    fn create(&self, name: &TableName, table: &MemTable) -> Result<()> {
        let schema = table.schema();
        let rows: Vec<_> =
            table.batches.iter().map(|partition| partition.try_read().map(|rows| rows.clone())).collect();
        let streams = rows
            .into_iter()
            .filter(|rows| rows.as_ref().map_or(true, |rows| !rows.is_empty()))
            .map(|rows| {
                let rows = rows.map_err(|_| DataFusionError::Internal("rows of a new table are in use".to_owned()))?;
                Ok(Box::pin(futures::stream::iter(rows.into_iter().map(Ok))) as cayenne_storage::RowStream)
            })
            .collect::<Result<Vec<_>>>()?;
        let columns = if streams.is_empty() { NewColumns::AsDeclared } else { NewColumns::Nullable };
        let schema = columns.of(&schema);
        let mut options = self.database.settings().table_options.clone();
        if let Some(constraints) = table.constraints() {
            let names: Vec<_> = schema.fields().iter().map(|field| field.name().as_str()).collect();
            set_key(&mut options, declared_key(name, &names, constraints).map_err(external)?);
        }
        let definition = TableDefinition::new(name, &schema, options.clone()).map_err(external)?;
        let default = |field: &FieldRef| Some((field.name().clone(), table.get_column_default(field.name())?.clone()));
        let defaults: Vec<_> = schema.fields().iter().filter_map(default).collect();
        let texts = wait(self.defaults.texts(name, definition.schema(), &defaults));
        options.column_defaults = texts.map_err(external)?;
        wait(self.database.create_table_with(name, &schema, options, streams)).map_err(external)?;
        Ok(())
    }
}

#[async_trait]
impl SchemaProvider for Tables {
    fn table_names(&self) -> Vec<String> {
        let listed = async {
            let tables = self.database.tables().await?.into_iter().map(|record| record.name.to_string());
            let views = self.database.views().await?.into_iter().map(|view| view.name.to_string());
            Ok(tables.chain(views).chain(self.views.names()).collect::<BTreeSet<_>>())
        };
        let names = wait(listed).inspect_err(|error| tracing::error!(%error, "tables cannot be listed"));
        names.unwrap_or_default().into_iter().chain(self.session.names()).collect()
    }

    /// Returns the type of a table. A view is recognised without planning its query.
    async fn table_type(&self, name: &str) -> Result<Option<TableType>> {
        if let Ok(name) = TableName::try_from(name)
            && self.is_view(&name).await.map_err(external)?
        {
            return Ok(Some(TableType::View));
        }
        Ok(self.find(name).await?.map(|table| table.table_type()))
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        self.find(name).await
    }

    fn register_table(&self, name: String, table: Arc<dyn TableProvider>) -> Result<Option<Arc<dyn TableProvider>>> {
        let name = TableName::try_from(name.as_str()).map_err(external)?;
        if let Some(table) = table.downcast_ref::<CayenneTable>() {
            // `CREATE EXTERNAL TABLE` has already created the table in this database; there is nothing left to do.
            let known = wait(self.database.table(&name)).map_err(external)?;
            return match known {
                Some(known) if known.id() == table.table().id() => Ok(None),
                _ => Err(external(elsewhere(&name))),
            };
        }
        if SessionTables::takes(table.as_ref()) {
            return match wait(self.database.table(&name)).map_err(external)? {
                Some(_) => Err(external(session_tables::taken(name.as_str()))),
                None => Ok(self.session.add(&name, table)),
            };
        }
        self.session.refuse(name.as_str())?;
        let rows = table.downcast_ref::<MemTable>().ok_or_else(|| external(elsewhere(&name)))?;
        self.create(&name, rows)?;
        Ok(None)
    }

    fn deregister_table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        if let Some(table) = self.session.remove(name) {
            return Ok(Some(table));
        }
        let Ok(name) = TableName::try_from(name) else {
            return Ok(None);
        };
        if let Some(view) = self.drop_view(&name).map_err(external)? {
            return Ok(Some(Arc::new(CayenneView::dropped(&view))));
        }
        let Some(table) = wait(self.database.table(&name)).map_err(external)? else {
            return Ok(None);
        };
        wait(self.database.drop_table(&name)).map_err(external)?;
        Ok(Some(Arc::new(CayenneTable::new(table))))
    }

    fn table_exist(&self, name: &str) -> bool {
        let Ok(name) = TableName::try_from(name) else {
            return false;
        };
        self.session.get(name.as_str()).is_some()
            || matches!(wait(self.database.table(&name)), Ok(Some(_)))
            || matches!(wait(self.is_view(&name)), Ok(true))
    }
}

/// Returns the error for a permanent view that reads a temporary view, which other sessions cannot see.
fn of_session_only(name: &TableName) -> Error {
    Error::invalid("a permanent view cannot read a temporary table or view")
        .code("session-only")
        .with("view", name)
        .help("use CREATE TEMPORARY VIEW")
}

pub(crate) fn elsewhere(name: &TableName) -> Error {
    Error::unsupported("the catalog of a Cayenne database holds only tables of that database")
        .with("table", name)
        .help("use CREATE TABLE … AS SELECT to copy rows into it")
}

/// The schema of the system tables.
#[derive(Debug)]
struct System {
    database: Arc<Database>,
}

#[async_trait]
impl SchemaProvider for System {
    fn table_names(&self) -> Vec<String> {
        system::NAMES.iter().map(|name| (*name).to_owned()).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        system::table(&self.database, name).await
    }

    fn table_exist(&self, name: &str) -> bool {
        system::NAMES.contains(&name)
    }
}
