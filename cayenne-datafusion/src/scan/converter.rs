//! Selects the expressions that Vortex may evaluate: those for which it returns the same answer as DataFusion.

use std::sync::Arc;

use arrow_schema::Schema;
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::TreeNode;
use datafusion::error::Result;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{BinaryExpr, InListExpr, Literal};
use datafusion::physical_expr::projection::ProjectionExprs;
use vortex::expr::Expression;
use vortex::session::VortexSession;
use vortex_datafusion::convert::{DefaultExpressionConverter, ExpressionConverter, ProcessedProjection};

use crate::dynamic_filter::{self, DynamicFilterCounts, Trust};

/// Converts expressions like Vortex's own converter, except where Vortex's answer differs from DataFusion's:
///
/// - A list membership in Vortex is false where SQL says NULL. A filter drops both, so a membership is pushed down only
///   if it stands below nothing but AND and OR.
/// - Vortex distinguishes −0.0 from 0.0; SQL does not.
/// - Vortex panics on a timestamp near the end of the year 9999, and on one in a time zone that it does not know.
/// - Integer arithmetic in Vortex fails on overflow; in DataFusion it wraps around.
///
/// A dynamic filter is converted by [`dynamic_filter`].
pub(crate) struct SameAnswers {
    inner: DefaultExpressionConverter,
    trust: Trust,
    counts: DynamicFilterCounts,
}

impl SameAnswers {
    pub(crate) fn new(session: VortexSession, trust: Trust, counts: DynamicFilterCounts) -> Self {
        Self { inner: DefaultExpressionConverter::new(session), trust, counts }
    }
}

impl ExpressionConverter for SameAnswers {
    fn try_convert(&self, expr: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Result<Option<Expression>> {
        if dynamic_filter::is_dynamic(expr) {
            return dynamic_filter::convert(expr, schema, self, self.trust, &self.counts);
        }
        if !membership_only_decides(expr)? || differs(expr, schema)? {
            return Ok(None);
        }
        self.inner.try_convert(expr, schema)
    }

    fn split_projection(
        &self,
        source_projection: ProjectionExprs,
        input_schema: &Schema,
        output_schema: &Schema,
    ) -> Result<ProcessedProjection> {
        for projected in source_projection.as_ref() {
            if contains_membership(&projected.expr)? || differs(&projected.expr, input_schema)? {
                return self.inner.no_pushdown_projection(source_projection, input_schema);
            }
        }
        self.inner.split_projection(source_projection, input_schema, output_schema)
    }

    fn no_pushdown_projection(
        &self,
        source_projection: ProjectionExprs,
        input_schema: &Schema,
    ) -> Result<ProcessedProjection> {
        self.inner.no_pushdown_projection(source_projection, input_schema)
    }
}

/// Says whether each list membership in a filter may return false instead of NULL.
fn membership_only_decides(expr: &Arc<dyn PhysicalExpr>) -> Result<bool> {
    if let Some(binary) = expr.downcast_ref::<BinaryExpr>()
        && matches!(binary.op(), Operator::And | Operator::Or)
    {
        return Ok(membership_only_decides(binary.left())? && membership_only_decides(binary.right())?);
    }
    match expr.downcast_ref::<InListExpr>() {
        Some(list) => Ok(!list.negated() && !contains_membership(list.expr())?),
        None => Ok(!contains_membership(expr)?),
    }
}

fn contains_membership(expr: &Arc<dyn PhysicalExpr>) -> Result<bool> {
    expr.exists(|expr| Ok(expr.downcast_ref::<InListExpr>().is_some()))
}

/// Says whether any part of an expression has a different value in Vortex.
fn differs(expr: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Result<bool> {
    expr.exists(|expr| Ok(is_beyond_vortex(expr) || wraps_around(expr, schema)? || tells_zeros_apart(expr, schema)?))
}

/// Says whether an expression is integer arithmetic that may overflow.
fn wraps_around(expr: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Result<bool> {
    match expr.downcast_ref::<BinaryExpr>() {
        Some(binary) if matches!(binary.op(), Operator::Plus | Operator::Minus | Operator::Multiply) => {
            Ok(expr.data_type(schema)?.is_integer())
        }
        _ => Ok(false),
    }
}

/// Says whether an expression compares floats that may both be zero.
fn tells_zeros_apart(expr: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Result<bool> {
    if let Some(binary) = expr.downcast_ref::<BinaryExpr>()
        && binary.op().supports_propagation()
    {
        let floats = binary.left().data_type(schema)?.is_floating();
        return Ok(floats && !is_not_zero(binary.left()) && !is_not_zero(binary.right()));
    }
    match expr.downcast_ref::<InListExpr>() {
        Some(list) => Ok(list.expr().data_type(schema)?.is_floating() && !list.list().iter().all(is_not_zero)),
        None => Ok(false),
    }
}

/// Says whether an expression is a literal other than zero.
fn is_not_zero(expr: &Arc<dyn PhysicalExpr>) -> bool {
    let value = expr.downcast_ref::<Literal>().map(Literal::value);
    match value {
        Some(ScalarValue::Float32(Some(value))) => *value != 0.0,
        Some(ScalarValue::Float64(Some(value))) => *value != 0.0,
        _ => false,
    }
}

/// Says whether an expression is a literal of a time that Vortex cannot represent.
fn is_beyond_vortex(expr: &Arc<dyn PhysicalExpr>) -> bool {
    /// 9999-01-01T00:00:00Z in seconds. Vortex fails a little later, and a little beyond as many seconds before 1970.
    const SECONDS_MAX: i64 = 253_370_764_800;
    let Some(literal) = expr.downcast_ref::<Literal>() else {
        return false;
    };
    let far =
        |value: &Option<i64>, per_second: i64| value.is_some_and(|value| (value / per_second).abs() > SECONDS_MAX);
    let day =
        |value: Option<i64>, per_second: i64| value.is_some_and(|value| !(0..86_400 * per_second).contains(&value));
    match literal.value() {
        ScalarValue::TimestampSecond(value, zone) => far(value, 1) || is_odd(zone.as_deref()),
        ScalarValue::TimestampMillisecond(value, zone) => far(value, 1_000) || is_odd(zone.as_deref()),
        ScalarValue::TimestampMicrosecond(value, zone) => far(value, 1_000_000) || is_odd(zone.as_deref()),
        ScalarValue::TimestampNanosecond(value, zone) => far(value, 1_000_000_000) || is_odd(zone.as_deref()),
        ScalarValue::Date32(days) => far(&days.map(|days| i64::from(days) * 86_400), 1),
        ScalarValue::Date64(value) => far(value, 1_000),
        ScalarValue::Time32Second(value) => day(value.map(i64::from), 1),
        ScalarValue::Time32Millisecond(value) => day(value.map(i64::from), 1_000),
        ScalarValue::Time64Microsecond(value) => day(*value, 1_000_000),
        ScalarValue::Time64Nanosecond(value) => day(*value, 1_000_000_000),
        _ => false,
    }
}

/// Says whether a time zone is anything but UTC. To be safe, literals in such zones are not converted.
fn is_odd(zone: Option<&str>) -> bool {
    zone.is_some_and(|zone| !matches!(zone, "UTC" | "+00:00" | "Z"))
}
