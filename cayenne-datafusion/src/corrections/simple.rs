//! Which correlated subqueries DataFusion decorrelates rightly by itself.
//!
//! It moves the conditions that name outer columns up to the top of the subquery, and joins on them. That keeps the meaning
//! only where each node on the way up commutes with a filter. Elsewhere it refuses the query, or, for a limit, a window or
//! an aggregation below `EXISTS` and `IN`, gives another answer.

use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{BinaryExpr, Distinct, Expr, JoinType, LogicalPlan, Operator};

/// Says whether a plan names columns of the query around it.
pub(super) fn is_correlated(plan: &LogicalPlan) -> bool {
    plan.contains_outer_reference() || plan.inputs().into_iter().any(is_correlated)
}

/// Says whether the conditions with outer columns can be moved to the top of a subquery of `EXISTS` or `IN`.
pub(super) fn filters_move_up(plan: &LogicalPlan) -> bool {
    if !is_correlated(plan) {
        return true;
    }
    let commutes = match plan {
        LogicalPlan::Filter(_) => true,
        // Not an alias: it would not name the columns that are carried up through it.
        LogicalPlan::Projection(_) | LogicalPlan::Distinct(Distinct::All(_)) => !plan.contains_outer_reference(),
        LogicalPlan::Join(join) => join.join_type == JoinType::Inner && !plan.contains_outer_reference(),
        _ => false,
    };
    commutes && plan.inputs().into_iter().all(filters_move_up)
}

/// Says the same of a scalar subquery: one aggregation of all rows whose columns equal outer ones.
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
