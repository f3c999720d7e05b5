//! Plans queries for rows by their keys in a shorter way.
//!
//! Planning `SELECT … FROM t WHERE id = 7` costs twenty times as much as reading the row. Here the filter and the scan
//! are replaced by a table that has only these rows, so that next to nothing is left to plan. The same is done for a
//! very long list of keys anywhere in a query: as expressions, each key would be visited by every rule of the planner.

use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_schema::SchemaRef;
use async_trait::async_trait;
use cayenne_table::Table;
use datafusion::catalog::{ScanArgs, Session, TableProvider};
use datafusion::common::TableReference;
use datafusion::common::tree_node::{Transformed, TreeNodeRecursion};
use datafusion::datasource::{provider_as_source, source_as_provider};
use datafusion::error::Result;
use datafusion::logical_expr::logical_plan::TableScanBuilder;
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{
    Analyze, Explain, Expr, Filter, LogicalPlan, Projection, TableScan, TableType, WriteOp,
};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::DataFrame;

use crate::keys::lookup;
use crate::pinned::Reads;
use crate::provider::CayenneTable;
use crate::scan::plan::Scan;

/// Returns a shorter query to plan if the query reads rows by key; otherwise returns it unchanged.
pub(crate) fn shortened(query: DataFrame) -> Result<DataFrame> {
    let short = match shorter_or_its_explanation(query.logical_plan())? {
        Some(short) => short,
        None if lists_many_keys(query.logical_plan())? => with_listed_rows(query.logical_plan())?,
        None => return Ok(query),
    };
    let (state, _) = query.into_parts();
    Ok(DataFrame::new(state, short))
}

/// Shortens a plan, or the plan inside `EXPLAIN`, which must show the plan that runs.
fn shorter_or_its_explanation(plan: &LogicalPlan) -> Result<Option<LogicalPlan>> {
    Ok(match plan {
        LogicalPlan::Explain(explain) => shorter(&explain.plan)?
            .map(|short| LogicalPlan::Explain(Explain { plan: Arc::new(short), ..explain.clone() })),
        LogicalPlan::Analyze(analyze) => shorter(&analyze.input)?
            .map(|short| LogicalPlan::Analyze(Analyze { input: Arc::new(short), ..analyze.clone() })),
        plan => shorter(plan)?,
    })
}

/// Says whether a condition of a query lists very many keys. Conditions of statements that change rows are left alone,
/// because they identify rows of the changed table itself.
fn lists_many_keys(plan: &LogicalPlan) -> Result<bool> {
    let is_long = |condition: &&Expr| lookup::is_long_list(condition);
    let mut found = false;
    plan.apply_with_subqueries(|plan| {
        match plan {
            LogicalPlan::Dml(statement) if !matches!(statement.op, WriteOp::Insert(_)) => {
                return Ok(TreeNodeRecursion::Stop);
            }
            LogicalPlan::Filter(filter) => found = split_conjunction(&filter.predicate).iter().any(is_long),
            _ => {}
        }
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

/// Replaces every condition of a query that lists very many keys with the rows.
fn with_listed_rows(plan: &LogicalPlan) -> Result<LogicalPlan> {
    let listed = plan.clone().transform_down_with_subqueries(|plan| {
        let rows = match &plan {
            LogicalPlan::Filter(filter) => listed_rows(filter)?,
            _ => None,
        };
        Ok(rows.map_or_else(|| Transformed::no(plan), Transformed::yes))
    })?;
    Ok(listed.data)
}

/// Returns the rows that a filter lists, filtered by its other conditions.
fn listed_rows(filter: &Filter) -> Result<Option<LogicalPlan>> {
    let conditions = split_conjunction(&filter.predicate);
    for (place, condition) in conditions.iter().enumerate() {
        let Some(rows) = rows_of(filter, condition, lookup::long_list)? else { continue };
        let others = conditions.iter().enumerate().filter(|(other, _)| *other != place);
        let Some(others) = conjunction(others.map(|(_, other)| (*other).clone())) else { return Ok(Some(rows)) };
        return Ok(Some(LogicalPlan::Filter(Filter::try_new(others, Arc::new(rows))?)));
    }
    Ok(None)
}

/// A query for columns of one table's rows under a condition that may determine their keys.
pub(crate) struct KeyQuery {
    pub(crate) table: Arc<Table>,
    pub(crate) condition: Expr,
    /// The indices of the columns, or `None` for all of them.
    pub(crate) columns: Option<Vec<usize>>,
}

/// Returns the query of a plan, if it reads columns of one table under a condition and does not rename them.
pub(crate) fn by_key(plan: &LogicalPlan) -> Option<KeyQuery> {
    let (projection, below) = match plan {
        LogicalPlan::Projection(projection) => (Some(projection), projection.input.as_ref()),
        plan => (None, plan),
    };
    let LogicalPlan::Filter(filter) = below else { return None };
    let (_, provider) = filtered_table(filter)?;
    let provider = provider.downcast_ref::<CayenneTable>().filter(|provider| !provider.is_fixed())?;
    let table = Arc::clone(provider.table());
    let place = |expr: &Expr| match expr {
        Expr::Column(column) => table.schema().index_of(&column.name).ok(),
        _ => None,
    };
    let columns = match projection {
        None => None,
        Some(projection) => Some(projection.expr.iter().map(place).collect::<Option<Vec<_>>>()?),
    };
    Some(KeyQuery { columns, condition: filter.predicate.clone(), table })
}

fn shorter(plan: &LogicalPlan) -> Result<Option<LogicalPlan>> {
    let (projection, below) = match plan {
        LogicalPlan::Projection(projection) => (Some(projection), projection.input.as_ref()),
        plan => (None, plan),
    };
    let LogicalPlan::Filter(filter) = below else { return Ok(None) };
    let Some(rows) = rows_of(filter, &filter.predicate, lookup::exactly)? else { return Ok(None) };
    Ok(Some(match projection {
        Some(projection) if !is_all(projection, &rows) => {
            LogicalPlan::Projection(Projection::try_new(projection.expr.clone(), Arc::new(rows))?)
        }
        _ => rows,
    }))
}

/// Returns the keys that a condition on a table names, if it tests nothing else.
type FindKeys = fn(&Table, &Expr) -> Result<Option<Vec<ArrayRef>>>;

/// Returns the rows for which a condition of a filter is true, if it names their keys and tests nothing else.
fn rows_of(filter: &Filter, condition: &Expr, find_keys: FindKeys) -> Result<Option<LogicalPlan>> {
    let Some((table_name, provider)) = filtered_table(filter) else { return Ok(None) };
    let Some(table) = provider.downcast_ref::<CayenneTable>() else { return Ok(None) };
    let Some(keys) = find_keys(table.table(), condition)? else { return Ok(None) };
    let rows = KeyRows { table: Arc::clone(table.table()), reads: table.reads().clone(), keys };
    let rows = TableScanBuilder::new(table_name.clone(), provider_as_source(Arc::new(rows))).build()?;
    Ok(Some(LogicalPlan::TableScan(rows)))
}

/// Returns the table below a filter, if the filter reads all rows and columns of it.
fn filtered_table(filter: &Filter) -> Option<(&TableReference, Arc<dyn TableProvider>)> {
    let LogicalPlan::TableScan(scan) = filter.input.as_ref() else { return None };
    let TableScan { table_name, source, projection: None, filters, fetch: None, .. } = scan else { return None };
    filters.is_empty().then(|| source_as_provider(source).ok()).flatten().map(|provider| (table_name, provider))
}

/// Says whether a projection returns all columns unchanged.
fn is_all(projection: &Projection, rows: &LogicalPlan) -> bool {
    let columns = rows.schema().columns();
    projection.schema.as_ref() == rows.schema().as_ref()
        && projection.expr.len() == columns.len()
        && projection
            .expr
            .iter()
            .zip(&columns)
            .all(|(expr, column)| matches!(expr, Expr::Column(found) if found == column))
}

/// A provider of the rows of a table that have the given keys.
#[derive(Debug)]
struct KeyRows {
    table: Arc<Table>,
    reads: Reads,
    keys: Vec<ArrayRef>,
}

#[async_trait]
impl TableProvider for KeyRows {
    fn schema(&self) -> SchemaRef {
        Arc::clone(self.table.schema())
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let view = self.reads.view(&self.table).await?;
        let scan = Scan { table: &self.table, view, identity: None, state };
        let args = ScanArgs::default().with_projection(projection.map(Vec::as_slice)).with_limit(limit);
        scan.of_keys(&self.keys, &args).await
    }
}
