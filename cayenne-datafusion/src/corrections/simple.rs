//! Decides which correlated subqueries DataFusion decorrelates correctly itself.
//!
//! DataFusion moves the conditions that name outer columns to the top of the subquery, and joins on them. That keeps
//! the meaning only if each node on the way up commutes with a filter. Otherwise DataFusion rejects the query or, for a
//! limit, a window or an aggregation below `EXISTS` and `IN`, returns a wrong answer.

use std::collections::HashSet;

use datafusion::common::Column;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{BinaryExpr, Distinct, Expr, JoinType, LogicalPlan, Operator};

/// Says whether a plan names outer columns.
pub(super) fn is_correlated(plan: &LogicalPlan) -> bool {
    plan.contains_outer_reference() || plan.inputs().into_iter().any(is_correlated)
}

/// Says whether the correlated conditions can be moved to the top of a subquery of `EXISTS` or `IN`.
pub(super) fn filters_move_up(plan: &LogicalPlan) -> bool {
    commute(plan) && (!is_correlated(plan) || carries_names_once(plan))
}

/// Says whether the columns that conditions carry up have different names. At the top, under one alias, they have no
/// qualifiers, and DataFusion takes the first of two columns with one name for both.
fn carries_names_once(plan: &LogicalPlan) -> bool {
    let mut carried = HashSet::new();
    collect_carried(plan, &mut carried);
    if let [value] = plan.schema().columns().as_slice() {
        carried.insert(value.clone());
    }
    let names: HashSet<&str> = carried.iter().map(|column| column.name.as_str()).collect();
    names.len() == carried.len()
}

fn collect_carried(plan: &LogicalPlan, carried: &mut HashSet<Column>) {
    if let LogicalPlan::Filter(filter) = plan {
        let conditions = split_conjunction(&filter.predicate).into_iter().filter(|part| part.contains_outer());
        carried.extend(conditions.flat_map(Expr::column_refs).cloned());
    }
    plan.inputs().into_iter().for_each(|input| collect_carried(input, carried));
}

fn commute(plan: &LogicalPlan) -> bool {
    if !is_correlated(plan) {
        return true;
    }
    let commutes = match plan {
        LogicalPlan::Filter(_) => true,
        // No aliases: columns that are carried up through an alias cannot be named above it.
        LogicalPlan::Projection(_) | LogicalPlan::Distinct(Distinct::All(_)) => !plan.contains_outer_reference(),
        LogicalPlan::Join(join) => join.join_type == JoinType::Inner && !plan.contains_outer_reference(),
        _ => false,
    };
    commutes && plan.inputs().into_iter().all(commute)
}

/// Says whether a scalar subquery can be decorrelated by DataFusion: it is one aggregation, without groups, of the rows
/// whose columns equal outer columns.
pub(super) fn aggregates_equal_rows(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Projection(_) | LogicalPlan::SubqueryAlias(_) => {
            !plan.contains_outer_reference() && plan.inputs().into_iter().all(aggregates_equal_rows)
        }
        LogicalPlan::Aggregate(aggregate) => {
            aggregate.group_expr.is_empty()
                && !plan.contains_outer_reference()
                && filters_move_up(&aggregate.input)
                && outer_columns_are_equated(&aggregate.input)
        }
        _ => false,
    }
}

fn outer_columns_are_equated(plan: &LogicalPlan) -> bool {
    let here = match plan {
        LogicalPlan::Filter(filter) => {
            split_conjunction(&filter.predicate).into_iter().filter(|part| part.contains_outer()).all(equates)
        }
        _ => true,
    };
    here && plan.inputs().into_iter().all(outer_columns_are_equated)
}

fn equates(condition: &Expr) -> bool {
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = condition else { return false };
    matches!(
        (left.as_ref(), right.as_ref()),
        (Expr::Column(_), Expr::OuterReferenceColumn(..)) | (Expr::OuterReferenceColumn(..), Expr::Column(_))
    )
}
