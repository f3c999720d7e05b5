//! Subqueries in a list of values: `INSERT INTO t VALUES ((SELECT max(id) + 1 FROM t), 'x')`.
//!
//! DataFusion evaluates a list of values while it plans, before any subquery runs. Here a projection reads the list and
//! puts each subquery in its place, by the number of its row.

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Column, ScalarValue};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, Values, lit, when};
use datafusion::optimizer::AnalyzerRule;

use super::subqueries::is_subquery;
use crate::project::project;

/// Turns lists of values that have a subquery into queries.
#[derive(Debug)]
pub(super) struct ValuesAsQueries;

impl AnalyzerRule for ValuesAsQueries {
    fn name(&self) -> &'static str {
        "cayenne_values_as_queries"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_down_with_subqueries(|plan| match plan {
            LogicalPlan::Values(values) if values.values.iter().flatten().any(has_subquery) => {
                as_queries(values).map(Transformed::yes)
            }
            plan => Ok(Transformed::no(plan)),
        })
        .data()
    }
}

fn has_subquery(value: &Expr) -> bool {
    // The closure returns no error.
    value.exists(|expr| Ok(is_subquery(expr))).unwrap_or_default()
}

/// Returns a list with NULL in place of each subquery, below a projection that puts the subqueries in their places.
fn as_queries(list: Values) -> Result<LogicalPlan> {
    let Values { schema, values: mut rows } = list;
    let mut columns: Vec<_> = schema.columns().into_iter().map(|column| (column, Vec::new())).collect();
    for (number, row) in (0_i64..).zip(&mut rows) {
        for ((value, field), (_, subqueries)) in row.iter_mut().zip(schema.fields()).zip(&mut columns) {
            if has_subquery(value) {
                let null = lit(ScalarValue::try_from(field.data_type())?);
                subqueries.push((number, std::mem::replace(value, null)));
            }
        }
        row.push(lit(number));
    }
    let list = LogicalPlanBuilder::values(rows)?.build()?;
    let number = list.schema().columns().into_iter().map(Expr::Column).last().unwrap_or_default();
    let values = columns.into_iter().map(|(column, subqueries)| value_of(column, subqueries, &number));
    project(values.collect::<Result<_>>()?, list)
}

fn value_of(column: Column, subqueries: Vec<(i64, Expr)>, number: &Expr) -> Result<Expr> {
    let mut subqueries = subqueries.into_iter();
    let name = column.name.clone();
    let Some((first, value)) = subqueries.next() else { return Ok(Expr::Column(column)) };
    let mut case = when(number.clone().eq(lit(first)), value);
    for (row, value) in subqueries {
        case = case.when(number.clone().eq(lit(row)), value);
    }
    Ok(case.otherwise(Expr::Column(column))?.alias(name))
}
