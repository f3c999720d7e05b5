//! Evaluates a dynamic filter on a batch, at a lower cost than the filter's own expression.

use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::types::UInt64Type;
use arrow_array::{Array as _, BooleanArray, RecordBatch};
use datafusion::arrow::array::BooleanBufferBuilder;
use datafusion::arrow::buffer::BooleanBuffer;
use datafusion::arrow::compute::{filter_record_batch, prep_null_mask_filter};
use datafusion::common::ScalarValue;
use datafusion::common::cast::as_boolean_array;
use datafusion::error::Result;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, CaseExpr, Literal};
use datafusion::physical_expr::split_conjunction;

type Expr = Arc<dyn PhysicalExpr>;

/// Returns which rows pass. A few rows that the filter rejects may be among them; no row that it accepts is missing.
pub(super) fn passing(filter: &Expr, batch: &RecordBatch) -> Result<BooleanArray> {
    if let Some(case) = filter.downcast_ref::<CaseExpr>()
        && let Some(route) = case.expr()
        && let Some(routed) = routed(case, route, batch)?
    {
        return Ok(routed);
    }
    let mut passing: Option<BooleanArray> = None;
    for part in decisive(filter) {
        let answer = evaluate(part, batch)?;
        passing = Some(match passing {
            Some(passing) => BooleanArray::new(passing.values() & answer.values(), None),
            None => answer,
        });
    }
    Ok(passing.unwrap_or_else(|| BooleanArray::new(vec![true; batch.num_rows()].into(), None)))
}

/// Says whether a filter tests more than bounds of values.
pub(super) fn has_members(filter: &Expr) -> bool {
    match filter.downcast_ref::<CaseExpr>() {
        Some(case) => case.when_then_expr().iter().any(|(_, then)| has_members(then)),
        None => split_conjunction(filter).into_iter().any(is_membership),
    }
}

/// Returns the conjuncts that must be evaluated. A join sends the bounds of its keys along with the keys themselves;
/// every key lies within the bounds, so the bounds need no check if there are keys.
fn decisive(filter: &Expr) -> Vec<&Expr> {
    let conjuncts = split_conjunction(filter);
    let members: Vec<_> = conjuncts.iter().copied().filter(|conjunct| is_membership(conjunct)).collect();
    if members.is_empty() { conjuncts } else { members }
}

/// Says whether a conjunct tests membership. Other conjuncts of a dynamic filter are comparisons, or comparisons joined
/// by operators.
fn is_membership(conjunct: &Expr) -> bool {
    conjunct.downcast_ref::<BinaryExpr>().is_none() && conjunct.downcast_ref::<Literal>().is_none()
}

/// Evaluates an expression for each row; null counts as false.
fn evaluate(expr: &Expr, batch: &RecordBatch) -> Result<BooleanArray> {
    let answer = expr.evaluate(batch)?.into_array(batch.num_rows())?;
    let answer = as_boolean_array(&answer)?;
    Ok(if answer.null_count() > 0 { prep_null_mask_filter(answer) } else { answer.clone() })
}

/// Evaluates the filter of a partitioned join, which has one filter for each partition and an expression that gives a
/// row's partition. Each filter is evaluated on the rows of its partition only. A `CASE` returns the same, but is
/// written for arrays of any kind and with nulls.
fn routed(case: &CaseExpr, route: &Expr, batch: &RecordBatch) -> Result<Option<BooleanArray>> {
    let routes = route.evaluate(batch)?.into_array(batch.num_rows())?;
    let Some(routes) = routes.as_primitive_opt::<UInt64Type>().filter(|routes| routes.null_count() == 0) else {
        return Ok(None);
    };
    let mut all = BooleanBufferBuilder::new(batch.num_rows());
    all.append_n(batch.num_rows(), false);
    let mut taken = vec![];
    for (when, then) in case.when_then_expr() {
        let Some(ScalarValue::UInt64(Some(partition))) = when.downcast_ref::<Literal>().map(Literal::value) else {
            return Ok(None);
        };
        send(then, batch, |row| routes.value(row) == *partition, &mut all)?;
        taken.push(*partition);
    }
    if let Some(otherwise) = case.else_expr() {
        send(otherwise, batch, |row| !taken.contains(&routes.value(row)), &mut all)?;
    }
    Ok(Some(BooleanArray::new(all.finish(), None)))
}

/// Marks the rows that belong to this filter and pass it.
fn send(
    filter: &Expr,
    batch: &RecordBatch,
    is_its: impl Fn(usize) -> bool,
    all: &mut BooleanBufferBuilder,
) -> Result<()> {
    if super::implied::is_false(filter) {
        return Ok(());
    }
    let its = BooleanArray::new(BooleanBuffer::collect_bool(batch.num_rows(), is_its), None);
    let answers = passing(filter, &filter_record_batch(batch, &its)?)?;
    let rows: Vec<usize> = its.values().set_indices().collect();
    for row in answers.values().set_indices().filter_map(|answer| rows.get(answer)) {
        all.set_bit(*row, true);
    }
    Ok(())
}
