//! Plans statements that read views of SQL. A view is planned again by every statement that reads it, in that
//! statement's session.

use std::collections::HashMap;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use cayenne_format::{Error, TableId};
use cayenne_table::SqlView;
use datafusion::common::config::Dialect;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{DdlStatement, LogicalPlan};
use datafusion::sql::parser::Statement;
use parking_lot::Mutex;

use crate::catalog::names::CATALOG;
use crate::catalog::provider::Tables;
use crate::catalog::view_table::{broken, refuse_change};
use crate::error::{cayenne_error, external};
use crate::pinned::StatementView;
use crate::text::complete::complete;

/// Maximum depth to which views may read other views. It bounds the stack of the planner.
const DEPTH_MAX: usize = 12;

tokio::task_local! {
    static PLANNING: Planning;
}

/// The planning state that a statement shares with the views in it.
#[derive(Clone)]
struct Planning {
    state: Arc<SessionState>,
    /// The views that are being planned, outermost first.
    open: Vec<ViewKey>,
    /// Whether names may refer to tables and views of the session. False inside a permanent view, which must mean the
    /// same in every session.
    sees_session: bool,
    tables: Arc<Mutex<HashMap<TableId, Arc<StatementView>>>>,
}

#[derive(Clone, PartialEq, Eq)]
struct ViewKey {
    database: PathBuf,
    name: String,
}

impl ViewKey {
    fn of(tables: &Tables, name: &str) -> Self {
        Self { database: tables.database.root().to_owned(), name: name.to_owned() }
    }
}

impl Planning {
    fn new(state: SessionState) -> Self {
        Self { state: Arc::new(state), open: Vec::new(), sees_session: true, tables: Arc::default() }
    }

    fn current() -> Option<Self> {
        PLANNING.try_with(Clone::clone).ok()
    }

    async fn plan(self, statement: Statement) -> Result<LogicalPlan> {
        let state = Arc::clone(&self.state);
        Box::pin(PLANNING.scope(self, async move { state.statement_to_plan(statement).await })).await
    }
}

/// Plans a statement. The views in it are planned in the same session, and the whole statement reads one snapshot of
/// each table.
///
/// # Errors
///
/// Any planning error; `Invalid` (code `not-a-table`) if the statement changes a view.
pub(crate) async fn plan(state: SessionState, statement: Statement) -> Result<LogicalPlan> {
    let plan = Planning::new(state).plan(statement).await?;
    refuse_change(&plan)?;
    Ok(plan)
}

/// Returns the view of a table that the current statement reads; it is the same for every mention of the table in the
/// statement.
pub(crate) fn shared_view(table: TableId) -> Arc<StatementView> {
    let of = |planning: &Planning| Arc::clone(planning.tables.lock().entry(table).or_default());
    PLANNING.try_with(of).unwrap_or_default()
}

/// Says whether names may currently refer to tables and views of the session. They may not inside a permanent view.
pub(crate) fn sees_session() -> bool {
    PLANNING.try_with(|planning| planning.sees_session).unwrap_or(true)
}

/// Returns an error if the view is already being planned, because it would then read itself.
pub(crate) fn refuse_cycle(tables: &Tables, name: &str) -> Result<()> {
    let key = ViewKey::of(tables, name);
    let cycle = |planning: &Planning| -> Option<String> {
        let first = planning.open.iter().position(|open| *open == key)?;
        let way = planning.open.iter().skip(first).map(|open| open.name.as_str());
        Some(way.chain([name]).collect::<Vec<_>>().join(" reads "))
    };
    match PLANNING.try_with(cycle).ok().flatten() {
        None => Ok(()),
        Some(way) => Err(external(
            Error::invalid("a view cannot read itself")
                .code("view-cycle")
                .with("view", name)
                .with("found", way)
                .help("make one of the views read a table instead"),
        )),
    }
}

/// Says whether planning a view failed because it, or a view that reads it, would read itself.
pub(crate) fn is_cycle(error: &DataFusionError) -> bool {
    cayenne_error(error).is_some_and(|error| error.stable_code() == "view-cycle")
}

/// Plans the query of a view in the current statement, or in the session of `tables` if no statement is being planned.
///
/// # Errors
///
/// `Invalid` (code `view-broken`) with the cause; inside another view, `Invalid` (code `view-cycle`) is returned as it
/// is.
pub(crate) async fn plan_view(tables: &Tables, view: &SqlView, is_kept: bool) -> Result<LogicalPlan> {
    let current = Planning::current().or_else(|| tables.views.session_state().map(Planning::new));
    let Some(planning) = current else { return Err(external(broken(view, no_session()))) };
    let is_inside = !planning.open.is_empty();
    let planned = plan_in(planning, tables, view, is_kept).await;
    planned.map_err(|error| if is_inside && is_cycle(&error) { error } else { external(broken(view, error)) })
}

/// Plans the query of a view that is about to be created.
pub(crate) async fn plan_new(
    state: SessionState,
    tables: &Tables,
    view: &SqlView,
    is_kept: bool,
) -> Result<LogicalPlan> {
    plan_in(Planning::new(state), tables, view, is_kept).await
}

async fn plan_in(mut planning: Planning, tables: &Tables, view: &SqlView, is_kept: bool) -> Result<LogicalPlan> {
    if planning.open.len() >= DEPTH_MAX {
        return Err(external(
            Error::resource_limit("views are nested too deeply")
                .code("view-depth")
                .with("view", &view.name)
                .with("at_most", DEPTH_MAX)
                .help("make some of them read tables, or create tables of their rows with CREATE TABLE … AS"),
        ));
    }
    let state = reading_as(&planning.state, tables, view)?;
    let statement = statement_of(&state, view)?;
    planning.open.push(ViewKey::of(tables, view.name.as_str()));
    planning.sees_session &= !is_kept;
    planning.state = Arc::new(state);
    match planning.plan(statement).await? {
        LogicalPlan::Ddl(DdlStatement::CreateView(command)) => Ok(Arc::unwrap_or_clone(command.input)),
        _ => Err(external(Error::corrupt("the definition of a view is no query"))),
    }
}

/// Returns the session with the default catalog, default schema and dialect of a view's definition.
fn reading_as(state: &SessionState, tables: &Tables, view: &SqlView) -> Result<SessionState> {
    let mut state = state.clone();
    let catalog = match &view.default_catalog {
        Some(catalog) => catalog.clone(),
        None => tables.catalog_name(&state).unwrap_or_else(|| CATALOG.to_owned()),
    };
    let dialect = Dialect::from_str(&view.dialect)?;
    let options = state.config_mut().options_mut();
    options.catalog.default_catalog = catalog;
    options.catalog.default_schema.clone_from(&view.default_schema);
    options.sql_parser.dialect = dialect;
    Ok(state)
}

/// Parses the definition of a view, under a name that cannot be looked up.
fn statement_of(state: &SessionState, view: &SqlView) -> Result<Statement> {
    let dialect = state.config_options().sql_parser.dialect;
    let mut statement = state.sql_to_statement(&format!("{NAMELESS}{}", view.definition), &dialect)?;
    complete(state.config_options(), &mut statement)?;
    Ok(statement)
}

/// The prefix that turns a definition into a statement for planning. No table or view can have this name.
pub(crate) const NAMELESS: &str = "CREATE VIEW \"$\" ";

fn no_session() -> DataFusionError {
    external(
        Error::unsupported("the session cannot plan views of a database").code("no-session").help(
            "run the statement with cayenne_datafusion::sql, or create the session with cayenne_datafusion::session",
        ),
    )
}
