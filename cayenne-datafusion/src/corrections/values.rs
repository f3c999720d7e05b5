//! Subqueries in a list of values: `INSERT INTO t VALUES ((SELECT max(id) + 1 FROM t), 'x')`.
//!
//! DataFusion computes a list of values while it plans, when no subquery has run. Here a row with a subquery becomes a
//! projection of nothing, which is a query like any other, and the list the union of its rows.

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, Union, Values};
use datafusion::optimizer::AnalyzerRule;

use crate::dml::project;

/// Makes queries of the rows of lists that have a subquery.
#[derive(Debug)]
pub(super) struct ValuesAsQueries;

impl AnalyzerRule for ValuesAsQueries {
    fn name(&self) -> &'static str {
        "cayenne_values_as_queries"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_down_with_subqueries(|plan| match plan {
            LogicalPlan::Values(values) if values.values.iter().any(|row| has_subquery(row)) => {
                as_queries(&values).map(Transformed::yes)
            }
            plan => Ok(Transformed::no(plan)),
        })
        .data()
    }
}

fn has_subquery(row: &[Expr]) -> bool {
    let is_subquery = |expr: &Expr| {
        Ok(matches!(expr, Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_) | Expr::SetComparison(_)))
    };
    // What is asked of each expression cannot fail.
    row.iter().any(|value| value.exists(is_subquery).unwrap_or(true))
}

fn as_queries(values: &Values) -> Result<LogicalPlan> {
    let schema = Arc::clone(&values.schema);
    let rows = values.values.chunk_by(|row, next| !has_subquery(row) && !has_subquery(next));
    let inputs = rows.map(|rows| match rows {
        [row] => query_of(row, values).map(Arc::new),
        rows => Ok(Arc::new(LogicalPlan::Values(Values { schema: Arc::clone(&schema), values: rows.to_vec() }))),
    });
    let inputs = inputs.collect::<Result<Vec<_>>>()?;
    match inputs.as_slice() {
        [only] => Ok(LogicalPlan::clone(only)),
        _ => Ok(LogicalPlan::Union(Union { inputs, schema })),
    }
}

fn query_of(row: &[Expr], values: &Values) -> Result<LogicalPlan> {
    let columns = row.iter().zip(values.schema.fields()).map(|(value, field)| value.clone().alias(field.name()));
    project(columns.collect(), LogicalPlanBuilder::empty(true).build()?)
}
