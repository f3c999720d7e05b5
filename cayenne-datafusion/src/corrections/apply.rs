//! Decorrelates subqueries of any shape into joins.
//!
//! DataFusion decorrelates a subquery only if its correlated conditions can be moved to its top. The others are
//! computed here for all outer rows at once, by the method of Neumann and Kemper, *Unnesting Arbitrary Queries* (BTW
//! 2015). The *domain* of a subquery is the set of distinct values of the outer columns that it names. The subquery is
//! joined with the domain where it reads its tables, and carries the domain's columns up: an aggregation groups by
//! them, a window is partitioned by them, a limit counts rows for each of them. The result is joined with the outer
//! rows on the values of the domain.

use std::sync::Arc;

use datafusion::common::alias::AliasGenerator;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, NullEquality};
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::expr::{Exists, InSubquery};
use datafusion::logical_expr::{
    Expr, Join, JoinConstraint, JoinType, LogicalPlan, LogicalPlanBuilder, Operator, Subquery, binary_expr,
    utils::conjunction,
};

use super::domain::Domain;
use super::node::Node;
use super::simple::{aggregates_equal_rows, filters_move_up, is_correlated};
use crate::project::project;

/// Rewrites the subqueries of a node that DataFusion cannot decorrelate.
pub(super) fn uncorrelate(node: &mut Node, names: &AliasGenerator) -> Result<()> {
    node.rewrite(|node, expr| {
        expr.transform_up(|expr| match expr {
            Expr::Exists(Exists { subquery, negated }) if !filters_move_up(&subquery.subquery) => {
                let simple = filtered(node, &subquery, names)?;
                Ok(simple.update_data(|subquery| Expr::Exists(Exists { subquery, negated })))
            }
            Expr::InSubquery(InSubquery { expr, subquery, negated }) if !filters_move_up(&subquery.subquery) => {
                let simple = filtered(node, &subquery, names)?;
                Ok(simple.update_data(|subquery| Expr::InSubquery(InSubquery { expr, subquery, negated })))
            }
            Expr::ScalarSubquery(subquery)
                if is_correlated(&subquery.subquery) && !aggregates_equal_rows(&subquery.subquery) =>
            {
                scalar(node, subquery, names)
            }
            expr => Ok(Transformed::no(expr)),
        })
    })
}

/// Returns an equivalent subquery whose only correlated condition is at its top.
fn filtered(node: &Node, subquery: &Subquery, names: &AliasGenerator) -> Result<Transformed<Subquery>> {
    let plan = &subquery.subquery;
    let Some((domain, joined)) = joined_with_domain(node.input(), plan, names)? else {
        return Ok(Transformed::no(subquery.clone()));
    };
    let same = |(value, column): (Expr, Expr)| binary_expr(value, Operator::IsNotDistinctFrom, column);
    let values = domain.values(&joined)?;
    let condition = conjunction(values.into_iter().zip(domain.outer_columns()).map(same));
    let columns = plan.schema().columns().into_iter().map(Expr::Column).collect();
    let filtered = match condition {
        Some(condition) => LogicalPlanBuilder::from(joined).filter(condition)?.build()?,
        None => joined,
    };
    let plan = project(columns, filtered)?;
    let outer_ref_columns = plan.all_out_ref_exprs();
    Ok(Transformed::yes(Subquery { subquery: Arc::new(plan), outer_ref_columns, spans: subquery.spans.clone() }))
}

/// Joins the value of a scalar subquery to the input of its node, and returns it as a column.
fn scalar(node: &mut Node, subquery: Subquery, names: &AliasGenerator) -> Result<Transformed<Expr>> {
    let unchanged = |subquery| Ok(Transformed::no(Expr::ScalarSubquery(subquery)));
    let Some((domain, joined)) = joined_with_domain(node.input(), &subquery.subquery, names)? else {
        return unchanged(subquery);
    };
    let Some(value) = subquery.subquery.schema().columns().into_iter().next() else { return unchanged(subquery) };
    let name = names.next("__cayenne_scalar");
    let mut columns = domain.values(&joined)?;
    columns.push(Expr::Column(value).alias(&name));
    let right = project(columns, joined)?;
    let on = domain.keys(&right)?;
    node.set_input(join(node.input().clone(), right, on, None, JoinType::Left)?);
    Ok(Transformed::yes(Expr::Column(Column::new_unqualified(name))))
}

/// Rewrites a lateral join that DataFusion cannot decorrelate.
pub(super) fn lateral(join_node: Join, names: &AliasGenerator) -> Result<Transformed<LogicalPlan>> {
    let unchanged = |join_node| Ok(Transformed::no(LogicalPlan::Join(join_node)));
    let supported = matches!(join_node.join_type, JoinType::Inner | JoinType::Left);
    if !supported || !is_correlated(&join_node.right) || moves_up_lateral(&join_node.right) {
        return unchanged(join_node);
    }
    let Some((domain, right)) = joined_with_domain(&join_node.left, &join_node.right, names)? else {
        return unchanged(join_node);
    };
    let columns = join_node.schema.columns().into_iter().map(Expr::Column).collect();
    let on = domain.keys(&right)?;
    // The join's own keys do not treat nulls as equal, so they become conditions.
    let conditions = join_node.on.into_iter().map(|(left, right)| left.eq(right)).chain(join_node.filter);
    let left = Arc::unwrap_or_clone(join_node.left);
    let joined = join(left, right, on, conjunction(conditions), join_node.join_type)?;
    project(columns, joined).map(Transformed::yes)
}

fn moves_up_lateral(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Subquery(subquery) => filters_move_up(&subquery.subquery),
        LogicalPlan::SubqueryAlias(alias) => moves_up_lateral(&alias.input),
        _ => false,
    }
}

/// Returns the domain of a subquery, and the subquery joined with it; `None` if a part of the subquery is not
/// supported.
fn joined_with_domain(
    outer: &LogicalPlan,
    subquery: &LogicalPlan,
    names: &AliasGenerator,
) -> Result<Option<(Domain, LogicalPlan)>> {
    let Some(domain) = Domain::of(outer, subquery, names)? else { return Ok(None) };
    match domain.joined(subquery) {
        Ok(joined) => Ok(Some((domain, joined))),
        Err(DataFusionError::NotImplemented(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Joins two plans on `on`, whose keys treat nulls as equal. If `on` is empty, equalities in `filter` may become the
/// keys, and these do not treat nulls as equal.
pub(super) fn join(
    left: LogicalPlan,
    right: LogicalPlan,
    on: Vec<(Expr, Expr)>,
    filter: Option<Expr>,
    join_type: JoinType,
) -> Result<LogicalPlan> {
    let null_equality = if on.is_empty() { NullEquality::NullEqualsNothing } else { NullEquality::NullEqualsNull };
    Ok(LogicalPlan::Join(Join::try_new(
        Arc::new(left),
        Arc::new(right),
        on,
        filter,
        join_type,
        JoinConstraint::On,
        null_equality,
        false,
    )?))
}
