//! `INTERSECT ALL` and `EXCEPT ALL` by the multiplicity of each row, as SQL defines them.
//!
//! DataFusion 55 plans both as a semi or anti join on all columns, which keeps or drops a row of the left side together
//! with all its duplicates. Here the duplicates of both sides are numbered, and the join includes the number. Each row
//! then gets the minimum, or the difference, of its two multiplicities.

use std::sync::Arc;

use datafusion::common::NullEquality;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::error::Result;
use datafusion::functions_window::expr_fn::row_number;
use datafusion::logical_expr::{
    Distinct, Expr, ExprFunctionExt, Join, JoinType, LogicalPlan, LogicalPlanBuilder, ident,
};
use datafusion::optimizer::AnalyzerRule;

use crate::project::project;

/// The column that numbers the duplicates of each row of the left side.
const LEFT_NUMBER: &str = "__cayenne_left_number";
/// The column that numbers the duplicates of the right side. Its name differs, so that neither is ambiguous.
const RIGHT_NUMBER: &str = "__cayenne_right_number";

/// Corrects `INTERSECT ALL` and `EXCEPT ALL`.
#[derive(Debug)]
pub(crate) struct SetOperations;

impl AnalyzerRule for SetOperations {
    fn name(&self) -> &'static str {
        "cayenne_set_operations"
    }

    fn analyze(&self, plan: LogicalPlan, _: &ConfigOptions) -> Result<LogicalPlan> {
        // Bottom-up, so that the rewritten join is not visited again.
        let rewritten = plan.transform_up_with_subqueries(|plan| match plan {
            LogicalPlan::Join(join) if keeps_duplicates(&join) => numbered_join(join).map(Transformed::yes),
            plan => Ok(Transformed::no(plan)),
        })?;
        Ok(rewritten.data)
    }
}

/// Says whether a join is DataFusion's plan of a set operation with `ALL`.
///
/// Before the plan is optimised, no join that the query writes as a join treats nulls as equal.
fn keeps_duplicates(join: &Join) -> bool {
    let columns = join.left.schema().fields().len();
    matches!(join.join_type, JoinType::LeftSemi | JoinType::LeftAnti)
        && join.null_equality == NullEquality::NullEqualsNull
        && join.filter.is_none()
        && join.on.len() == columns
        && join.right.schema().fields().len() == columns
        && !matches!(join.left.as_ref(), LogicalPlan::Distinct(Distinct::All(_)))
        // A plan may be analysed twice.
        && !join.left.schema().has_column_with_unqualified_name(LEFT_NUMBER)
}

fn numbered_join(join: Join) -> Result<LogicalPlan> {
    let columns = join.left.schema().columns().into_iter().map(Expr::Column).collect();
    let (left_keys, right_keys): (Vec<_>, Vec<_>) = join.on.iter().cloned().unzip();
    let left = numbered(&join.left, left_keys, LEFT_NUMBER)?;
    let right = numbered(&join.right, right_keys, RIGHT_NUMBER)?;
    let mut on = join.on;
    on.push((ident(LEFT_NUMBER), ident(RIGHT_NUMBER)));
    let joined = Join::try_new(
        Arc::new(left),
        Arc::new(right),
        on,
        None,
        join.join_type,
        join.join_constraint,
        join.null_equality,
        false,
    )?;
    project(columns, LogicalPlan::Join(joined))
}

/// Adds a column that numbers the rows with equal `keys`, from 1.
fn numbered(plan: &LogicalPlan, keys: Vec<Expr>, name: &str) -> Result<LogicalPlan> {
    let number = row_number().partition_by(keys).build()?.alias(name);
    LogicalPlanBuilder::from(plan.clone()).window([number])?.build()
}
