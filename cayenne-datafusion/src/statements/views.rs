//! `CREATE VIEW` and `DROP VIEW`. The database stores permanent views; the session keeps temporary ones.

use std::sync::Arc;

use cayenne_format::{Error, TableName, Timestamp};
use cayenne_table::SqlView;
use datafusion::common::TableReference;
use datafusion::error::Result;
use datafusion::prelude::{DataFrame, SessionContext};
use datafusion::sql::parser::Statement;
use datafusion::sql::planner::object_name_to_table_reference;
use datafusion::sql::sqlparser::ast::{self, CreateView, Ident, ObjectName, ObjectType};

use crate::catalog::find::tables_of;
use crate::catalog::provider::Tables;
use crate::catalog::view_plan::{self, NAMELESS};
use crate::catalog::view_table::checked_columns;
use crate::error::external;
use crate::statements::checks::nothing;
use crate::statements::checks::unique_names;

/// Runs a statement that creates or drops views of a Cayenne catalog; returns `None` for all other statements.
///
/// # Errors
///
/// Returns an error if the statement is invalid; nothing is changed then.
pub(crate) async fn run(ctx: &SessionContext, statement: &Statement) -> Result<Option<DataFrame>> {
    let Statement::Statement(statement) = statement else { return Ok(None) };
    match statement.as_ref() {
        ast::Statement::CreateView(command) => {
            let name = reference(ctx, &command.name)?;
            match tables_of(ctx, &name) {
                Some(tables) => create(ctx, &tables, &name, command).await.map(Some),
                None => Ok(None),
            }
        }
        ast::Statement::Drop { object_type: ObjectType::View, if_exists, names, cascade, restrict, .. } => {
            let names = names.iter().map(|name| reference(ctx, name)).collect::<Result<Vec<_>>>()?;
            let tables: Option<Vec<_>> = names.iter().map(|name| tables_of(ctx, name)).collect();
            let Some(tables) = tables else { return Ok(None) };
            refuse_behaviour(*cascade, *restrict)?;
            let views = tables.into_iter().zip(names).collect();
            drop_views(ctx, views, *if_exists).await.map(Some)
        }
        _ => Ok(None),
    }
}

fn reference(ctx: &SessionContext, name: &ObjectName) -> Result<TableReference> {
    let normalises = ctx.state().config_options().sql_parser.enable_ident_normalization;
    object_name_to_table_reference(name.clone(), normalises)
}

async fn create(
    ctx: &SessionContext,
    tables: &Tables,
    name: &TableReference,
    command: &CreateView,
) -> Result<DataFrame> {
    let name = TableName::try_from(name.table()).map_err(external)?;
    let definition = definition_of(command)?;
    if !is_free(tables, &name, command).await? {
        return nothing(ctx);
    }
    let state = ctx.state();
    let options = state.config_options();
    let catalog = &options.catalog.default_catalog;
    let mut view = SqlView {
        name,
        definition,
        // `None` stands for the catalog of the view itself, which may have another name in other sessions.
        default_catalog: (tables.catalog_name(&state).as_ref() != Some(catalog)).then(|| catalog.clone()),
        default_schema: options.catalog.default_schema.clone(),
        dialect: options.sql_parser.dialect.to_string(),
        columns: Arc::new(arrow_schema::Schema::empty()),
        made_at: Timestamp(0),
    };
    let plan = view_plan::plan_new(state.clone(), tables, &view, !command.temporary).await?;
    unique_names(plan.schema())?;
    view.columns = checked_columns(&state, plan)?;
    if command.temporary {
        tables.views.temporary.lock().insert(view.name.clone(), view);
    } else {
        tables.database.create_view(view, command.or_replace).await.map_err(external)?;
    }
    nothing(ctx)
}

/// Says whether a view can be created; false if the view exists and the statement has `IF NOT EXISTS`.
async fn is_free(tables: &Tables, name: &TableName, command: &CreateView) -> Result<bool> {
    if tables.database.table(name).await.map_err(external)?.is_some() {
        return Err(external(
            Error::already_exists("a table has this name already")
                .code("table-exists")
                .with("table", name)
                .help("choose another name, or use DROP TABLE first, which deletes its rows"),
        ));
    }
    let temporary = tables.views.temporary(name).is_some();
    let is_there = temporary || tables.database.view(name).await.map_err(external)?.is_some();
    match (is_there, temporary == command.temporary) {
        (false, _) => Ok(true),
        (true, true) if command.or_replace => Ok(true),
        (true, _) if command.if_not_exists => Ok(false),
        (true, _) => Err(external(taken_by_view(name, temporary))),
    }
}

/// Returns the error for a name that is taken by a view.
fn taken_by_view(name: &TableName, is_temporary: bool) -> Error {
    let message = if is_temporary {
        "a temporary view of this session has this name already"
    } else {
        "a view has this name already"
    };
    Error::already_exists(message)
        .code("view-exists")
        .with("view", name)
        .help("use DROP VIEW first, or choose another name; CREATE OR REPLACE VIEW replaces a view of the same kind")
}

/// Returns the part of a statement that follows the view's name, as the parser formats it.
///
/// # Errors
///
/// `Unsupported` if the statement has clauses before the name that create another kind of view.
fn definition_of(command: &CreateView) -> Result<String> {
    if command.or_replace && command.if_not_exists {
        return Err(external(
            Error::invalid("OR REPLACE and IF NOT EXISTS contradict each other")
                .code("sql-syntax")
                .help("use one of them"),
        ));
    }
    let plain = CreateView {
        or_replace: false,
        if_not_exists: false,
        temporary: false,
        name: ObjectName::from(vec![Ident::with_quote('"', "$")]),
        ..command.clone()
    };
    let text = plain.to_string();
    text.strip_prefix(NAMELESS).map(str::to_owned).ok_or_else(|| {
        external(
            Error::unsupported("this kind of view is not supported")
                .code("unsupported-sql")
                .with("view", &command.name)
                .help("CREATE [OR REPLACE] [TEMPORARY] VIEW makes one"),
        )
    })
}

fn refuse_behaviour(cascade: bool, restrict: bool) -> Result<()> {
    if !cascade && !restrict {
        return Ok(());
    }
    Err(external(
        Error::unsupported("CASCADE and RESTRICT are not supported for views")
            .code("unsupported-sql")
            .with("clause", if cascade { "CASCADE" } else { "RESTRICT" })
            .help("leave the clause out; views that read this view stay, and fail when they are used"),
    ))
}

async fn drop_views(
    ctx: &SessionContext,
    views: Vec<(Arc<Tables>, TableReference)>,
    if_exists: bool,
) -> Result<DataFrame> {
    // All names are checked first, so that nothing is dropped if one of them is wrong.
    let mut found = Vec::new();
    for (tables, name) in views {
        let Some(name) = require_view(&tables, name.table(), if_exists).await? else { continue };
        found.push((tables, name));
    }
    for (tables, name) in found {
        if tables.views.forget(&name).is_none() {
            tables.database.drop_view(&name).await.map_err(external)?;
        }
    }
    nothing(ctx)
}

/// Returns the name of a view to drop. A view whose record is damaged can be dropped too.
async fn require_view(tables: &Tables, name: &str, if_exists: bool) -> Result<Option<TableName>> {
    if let Ok(name) = TableName::try_from(name) {
        let is_there =
            tables.views.temporary(&name).is_some() || !matches!(tables.database.view(&name).await, Ok(None));
        if is_there {
            return Ok(Some(name));
        }
        if tables.database.table(&name).await.map_err(external)?.is_some() {
            return Err(external(
                Error::invalid("it is a table, not a view")
                    .code("not-a-view")
                    .with("table", name)
                    .help("use DROP TABLE, which deletes its rows"),
            ));
        }
    }
    if if_exists {
        return Ok(None);
    }
    Err(external(Error::not_found("there is no such view").code("no-view").with("view", name)))
}
