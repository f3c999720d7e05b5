//! Queries that are planned once and executed many times.

use std::fmt;
use std::sync::Arc;

use cayenne_format::Error;
use datafusion::catalog::ScanArgs;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result;
use datafusion::execution::session_state::SessionState;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::expr::Placeholder;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::physical_plan::execute_stream;
use datafusion::prelude::SessionContext;
use datafusion::scalar::ScalarValue;

use crate::catalog::view_plan;
use crate::error::external;
use crate::keys::lookup;
use crate::pinned::Reads;
use crate::scan::plan::Scan;
use crate::statements::key_select::{self, KeyQuery};
use crate::statements::run::statements;
use crate::text::complete::complete;

/// A query with parameters `$1`, `$2`, …, whose values are given when it is executed.
///
/// A query that only reads columns of rows by their keys is not planned again: its rows are looked up directly.
/// Examples are `SELECT * FROM t WHERE id = $1`, `SELECT a, b FROM t WHERE day = $1 AND name = $2` and `… WHERE id IN
/// ($1, $2, 7)`. All other queries are planned at each execution, as by `EXECUTE`.
///
/// The query is bound to the tables for which it was prepared. After one of them is dropped, it fails with the code
/// `table-dropped`, even if a new table has the same name.
///
/// # Examples
///
/// ```
/// # use cayenne_datafusion::{prepare, recommended_config, session, sql};
/// # use cayenne_table::Database;
/// # use datafusion::physical_plan::common::collect;
/// # tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap().block_on(async {
/// # let folder = tempfile::tempdir()?;
/// # let database = Database::builder(folder.path()).open().await?;
/// # let ctx = session(recommended_config(std::num::NonZeroUsize::MIN), Default::default(), &database)?;
/// sql(&ctx, "CREATE TABLE moons (id BIGINT PRIMARY KEY, name VARCHAR)").await?.collect().await?;
/// sql(&ctx, "INSERT INTO moons VALUES (1, 'Io'), (2, 'Europa')").await?.collect().await?;
///
/// let by_id = prepare(&ctx, "SELECT name FROM moons WHERE id = $1").await?;
/// let found = collect(by_id.execute(&[2_i64.into()]).await?).await?;
/// assert_eq!(found[0].num_rows(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
pub struct Prepared {
    ctx: SessionContext,
    plan: LogicalPlan,
    lookup: Option<Lookup>,
}

/// What a query for rows by their keys needs at each execution.
struct Lookup {
    query: KeyQuery,
    state: SessionState,
    task: Arc<TaskContext>,
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared").field("plan", &self.plan).finish_non_exhaustive()
    }
}

/// Prepares one query with parameters `$1`, `$2`, …, whose values are given when it is executed.
///
/// # Errors
///
/// Returns an error if the text is not exactly one query; any planning error.
pub async fn prepare(ctx: &SessionContext, sql: &str) -> Result<Prepared> {
    let mut statements = statements(ctx, sql)?;
    let (Some(mut statement), true) = (statements.pop_front(), statements.is_empty()) else {
        return Err(not_a_query());
    };
    let state = ctx.state();
    complete(state.config_options(), &mut statement)?;
    let plan = view_plan::plan(state.clone(), statement).await?;
    if matches!(plan, LogicalPlan::Ddl(_) | LogicalPlan::Dml(_) | LogicalPlan::Statement(_) | LogicalPlan::Copy(_)) {
        return Err(not_a_query());
    }
    let task = ctx.task_ctx();
    let lookup = key_select::by_key(&plan).map(|query| Lookup { query, state, task });
    Ok(Prepared { ctx: ctx.clone(), plan, lookup })
}

fn not_a_query() -> datafusion::error::DataFusionError {
    external(
        Error::invalid("the text is not a single query")
            .code("sql-syntax")
            .help("run other statements with cayenne_datafusion::sql"),
    )
}

impl Prepared {
    /// Runs the query. `parameters` are the values of `$1`, `$2`, ….
    ///
    /// # Errors
    ///
    /// Returns an error if a parameter has no value; any error of planning or reading.
    pub async fn execute(&self, parameters: &[ScalarValue]) -> Result<SendableRecordBatchStream> {
        if let Some(lookup) = &self.lookup
            && let Some(rows) = lookup.execute(parameters).await?
        {
            return Ok(rows);
        }
        let plan = self.plan.clone().with_param_values(parameters.to_vec())?;
        key_select::shortened(self.ctx.execute_logical_plan(plan).await?)?.execute_stream().await
    }
}

impl Lookup {
    /// Returns the rows, or `None` if the condition tests more than their keys.
    async fn execute(&self, parameters: &[ScalarValue]) -> Result<Option<SendableRecordBatchStream>> {
        let KeyQuery { table, condition, columns } = &self.query;
        let Some(condition) = with_values(condition, parameters)? else { return Ok(None) };
        let Some(keys) = lookup::exactly(table, &condition)? else { return Ok(None) };
        let view = Reads::Latest.view(table).await?;
        let scan = Scan { table, view, identity: None, state: &self.state };
        let plan = scan.of_keys(&keys, &ScanArgs::default().with_projection(columns.as_deref())).await?;
        execute_stream(plan, Arc::clone(&self.task)).map(Some)
    }
}

/// Replaces the parameters of a condition with their values; `None` if one has no value.
fn with_values(condition: &Expr, parameters: &[ScalarValue]) -> Result<Option<Expr>> {
    let mut has_all = true;
    let bound = condition.clone().transform(|expr| {
        let Expr::Placeholder(Placeholder { id, .. }) = &expr else { return Ok(Transformed::no(expr)) };
        let number = id.strip_prefix('$').and_then(|number| number.parse::<usize>().ok());
        let value = number.and_then(|number| parameters.get(number.checked_sub(1)?));
        has_all &= value.is_some();
        Ok(value.map_or(Transformed::no(expr), |value| Transformed::yes(Expr::Literal(value.clone(), None))))
    })?;
    Ok(has_all.then_some(bound.data))
}
