//! Runs SQL, including statements that DataFusion alone would run in memory or not at all.

use crate::catalog::find::database_of;
use crate::catalog::find::tables_of;
use crate::text::complete::complete;
use std::collections::VecDeque;
use std::sync::Arc;

use cayenne_format::{Error, TableName};
use cayenne_table::Database;
use datafusion::error::Result;
use datafusion::logical_expr::{DdlStatement, DropTable, LogicalPlan};
use datafusion::prelude::{DataFrame, SessionContext};
use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::dialect::{Dialect, GenericDialect, dialect_from_str};

use crate::catalog::view_plan;
use crate::error::external;
use crate::files;
use crate::statements::checks::{nothing, refuse_view};
use crate::statements::create_table::{create_table, refuse_to_drop_for};
use crate::statements::key_select;
use crate::statements::on_conflict;
use crate::statements::{session_tables, views};
use crate::values::default_keyword;
use crate::values::stored_text_calls;

/// Parses a text into statements, with the settings `datafusion.sql_parser.*` of a session.
///
/// # Errors
///
/// Returns an error if the text cannot be parsed.
pub fn statements(ctx: &SessionContext, sql: &str) -> Result<VecDeque<Statement>> {
    let recursion_limit = ctx.state_ref().read().config_options().sql_parser.recursion_limit.get();
    DFParserBuilder::new(sql)
        .with_dialect(dialect(ctx).as_ref())
        .with_recursion_limit(recursion_limit)
        .build()?
        .parse_statements()
}

/// Returns the SQL dialect of a session, which is the setting `datafusion.sql_parser.dialect`.
#[must_use]
pub fn dialect(ctx: &SessionContext) -> Box<dyn Dialect> {
    let name = ctx.state_ref().read().config_options().sql_parser.dialect;
    // Every name that the setting accepts is known.
    dialect_from_str(name).unwrap_or_else(|| Box::new(GenericDialect {}))
}

/// Plans the single statement of a text. It runs when the result is executed; definitions run at once.
///
/// # Errors
///
/// Returns an error if the text is not exactly one statement; any planning error.
pub async fn sql(ctx: &SessionContext, sql: &str) -> Result<DataFrame> {
    let mut statements = statements(ctx, sql)?;
    match (statements.pop_front(), statements.is_empty()) {
        (Some(statement), true) => execute(ctx, statement).await,
        _ => Err(external(
            Error::invalid("the text is not a single statement")
                .code("sql-syntax")
                .help("split it with cayenne_datafusion::statements"),
        )),
    }
}

/// Plans one statement. It runs when the result is executed; definitions run at once.
///
/// It differs from `SessionContext::execute_logical_plan` for tables of a Cayenne catalog:
///
/// - `CREATE TABLE … AS` streams its rows to disk, and makes the table and its rows visible together.
/// - `DROP TABLE` waits without blocking.
/// - `INSERT … ON CONFLICT` is planned only here.
/// - `CREATE VIEW` is executed only here: the database stores the view.
/// - Queries for rows by their keys, including prepared ones, are planned in a fraction of the time.
///
/// # Errors
///
/// Any error of planning, or of running a definition.
pub async fn execute(ctx: &SessionContext, mut statement: Statement) -> Result<DataFrame> {
    if let Some(done) = views::run(ctx, &statement).await? {
        return Ok(done);
    }
    complete(ctx.state().config_options(), &mut statement)?;
    default_keyword::resolve(ctx, &mut statement).await?;
    stored_text_calls::write_out(ctx, &mut statement).await?;
    let plan = match on_conflict::take(&mut statement) {
        Some(clause) => on_conflict::plan(ctx, statement, &clause).await?,
        None => view_plan::plan(ctx.state(), statement).await.map_err(files::missing)?,
    };
    if session_tables::define(ctx, &plan).await? {
        return nothing(ctx);
    }
    match plan {
        LogicalPlan::Ddl(DdlStatement::CreateMemoryTable(command)) => match database_of(ctx, &command.name) {
            Some(database) => match create_table(ctx, database, command).await? {
                // Like `INSERT`, a statement with a query returns the number of its rows.
                Some(written) => ctx.read_batches(written),
                None => nothing(ctx),
            },
            None => ctx.execute_logical_plan(LogicalPlan::Ddl(DdlStatement::CreateMemoryTable(command))).await,
        },
        LogicalPlan::Ddl(DdlStatement::CreateExternalTable(command)) => {
            refuse_to_drop_for(ctx, &command).await?;
            ctx.execute_logical_plan(LogicalPlan::Ddl(DdlStatement::CreateExternalTable(command))).await
        }
        LogicalPlan::Ddl(DdlStatement::DropTable(command)) => match database_of(ctx, &command.name) {
            Some(database) => drop_table(ctx, &database, &command).await,
            None => ctx.execute_logical_plan(LogicalPlan::Ddl(DdlStatement::DropTable(command))).await,
        },
        plan => key_select::shortened(ctx.execute_logical_plan(plan).await?),
    }
}

async fn drop_table(ctx: &SessionContext, database: &Arc<Database>, command: &DropTable) -> Result<DataFrame> {
    let dropped = match TableName::try_from(command.name.table()) {
        Ok(name) => database.drop_table(&name).await.map_err(external)?,
        Err(_) => false,
    };
    if let Some(tables) = tables_of(ctx, &command.name).filter(|_| !dropped)
        && let Ok(name) = TableName::try_from(command.name.table())
    {
        refuse_view(&tables, &name, "DROP TABLE").await?;
    }
    if dropped || command.if_exists {
        return nothing(ctx);
    }
    Err(external(Error::not_found("there is no such table").code("no-table").with("table", command.name.table())))
}
