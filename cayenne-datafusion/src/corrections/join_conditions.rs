//! Subqueries in the condition of an outer join.
//!
//! Below an inner join the condition becomes a filter, and is corrected as one. In the condition of an outer join
//! DataFusion rejects subqueries. Here a subquery that names columns of only one side becomes a column of that side.

use std::collections::HashSet;

use datafusion::common::alias::AliasGenerator;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, Join, LogicalPlan, ident};

use super::apply;
use super::subqueries::is_subquery;
use crate::project::project;

/// Returns the join with its subqueries replaced by columns. A subquery that names columns of both sides is left alone.
///
/// `correct` corrects the subqueries in the projections that compute the columns.
pub(super) fn as_columns(
    node: Join,
    condition: Expr,
    names: &AliasGenerator,
    correct: &dyn Fn(LogicalPlan) -> Result<LogicalPlan>,
) -> Result<LogicalPlan> {
    let (mut of_left, mut of_right) = (Vec::new(), Vec::new());
    let columns: Vec<_> = node.schema.columns().into_iter().map(Expr::Column).collect();
    let condition = condition.transform_down(|expr| {
        if !is_subquery(&expr) {
            return Ok(Transformed::no(expr));
        }
        let of_expr = columns_of(&expr)?;
        let has = |schema: &DFSchema| of_expr.iter().all(|column| schema.has_column(column));
        let side = if has(node.left.schema()) {
            &mut of_left
        } else if has(node.right.schema()) {
            &mut of_right
        } else {
            return Ok(Transformed::new(expr, false, TreeNodeRecursion::Jump));
        };
        let name = names.next("__cayenne_condition");
        side.push(expr.alias(&name));
        Ok(Transformed::new(ident(name), true, TreeNodeRecursion::Jump))
    })?;
    let with = |plan: &LogicalPlan, added: Vec<Expr>| {
        if added.is_empty() {
            return Ok(plan.clone());
        }
        let mut all: Vec<_> = plan.schema().columns().into_iter().map(Expr::Column).collect();
        all.extend(added);
        correct(project(all, plan.clone())?)
    };
    let (left, right) = (with(&node.left, of_left)?, with(&node.right, of_right)?);
    let joined = Join::try_new(
        left.into(),
        right.into(),
        node.on,
        Some(condition.data),
        node.join_type,
        node.join_constraint,
        node.null_equality,
        node.null_aware,
    )?;
    apply::lateral(joined, names)?.map_data(|plan| project(columns, plan)).map(|done| done.data)
}

/// Returns the outer columns that a subquery expression names, including those in the operand of its comparison.
fn columns_of(expr: &Expr) -> Result<HashSet<Column>> {
    let mut named: HashSet<Column> = expr.column_refs().into_iter().cloned().collect();
    expr.apply(|expr| {
        let subquery = match expr {
            Expr::InSubquery(set) => &set.subquery,
            Expr::Exists(exists) => &exists.subquery,
            Expr::SetComparison(set) => &set.subquery,
            Expr::ScalarSubquery(subquery) => subquery,
            _ => return Ok(TreeNodeRecursion::Continue),
        };
        for outer in subquery.subquery.all_out_ref_exprs() {
            if let Expr::OuterReferenceColumn(_, column) = outer {
                named.insert(column);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(named)
}
