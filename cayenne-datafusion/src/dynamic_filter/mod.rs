//! Pushes filters that arise while a query runs down to the rows of a file.
//!
//! After its build side is read, a hash join knows which keys can match. A top-k operator knows which values can still
//! be in its result. DataFusion passes both to the scan as a dynamic filter, whose expression changes over time.
//! Vortex's own converter does not convert such a filter. Here it becomes two kinds of Vortex functions:
//!
//! - [`rows::DynamicFilter`] evaluates DataFusion's expression on the rows of a batch, before the other columns of the
//!   batch are decoded. It stops evaluating while nearly all rows pass.
//! - [`zones::ZoneHint`] holds what the filter implies for one column when the file is opened. It is evaluated on zone
//!   statistics only, so that zones without a match are not decoded at all.
//!
//! Both drop only rows that the operator above would drop too. One dynamic filter breaks this rule: the filter of an
//! aggregation for a minimum or maximum may exclude rows that another aggregate needs, because DataFusion intends it
//! for file statistics. It looks like the filter of a top-k. If a session enables it, only filters that test keys are
//! used, which only joins make ([`Trust`]).

mod check;
mod domain;
mod implied;
pub(crate) mod join_filters;
mod rows;
mod runs;
mod zones;

use std::sync::Arc;

use arrow_schema::{FieldRef, Schema, SchemaRef};
use datafusion::common::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{Column, DynamicFilterPhysicalExpr, Literal};
use datafusion::physical_expr::utils::{collect_columns, reassign_expr_columns};
use datafusion::physical_expr_common::physical_expr::is_volatile;
use vortex::expr::{Expression, and_collect, get_item, root};
use vortex::scalar_fn::{EmptyOptions, ScalarFnVTableExt as _};
use vortex_datafusion::convert::ExpressionConverter;

pub(crate) use self::rows::DynamicFilterCounts;
pub(crate) use self::zones::register;
use crate::dynamic_filter::join_filters::is_ordered;

/// Which dynamic filters may be used to drop rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    /// All of them.
    All,
    /// Only those that test membership of a key, which only joins make.
    Members,
}

impl Trust {
    /// Returns which filters can be trusted in a session with these options.
    pub(crate) fn of(options: &ConfigOptions) -> Self {
        if options.optimizer.enable_aggregate_dynamic_filter_pushdown { Self::Members } else { Self::All }
    }

    /// Returns the current expression of the filter if it can be trusted and excludes anything.
    fn current(self, filter: &Arc<dyn PhysicalExpr>) -> Result<Option<Arc<dyn PhysicalExpr>>> {
        let Some(dynamic) = filter.downcast_ref::<DynamicFilterPhysicalExpr>() else { return Ok(None) };
        let now = dynamic.current()?;
        let rules_out = now.downcast_ref::<Literal>().is_none_or(|literal| literal.value() != &true.into());
        Ok((rules_out && (self == Self::All || check::has_members(&now))).then_some(now))
    }
}

/// Says whether an expression is a dynamic filter.
pub(crate) fn is_dynamic(expr: &Arc<dyn PhysicalExpr>) -> bool {
    expr.downcast_ref::<DynamicFilterPhysicalExpr>().is_some()
}

/// Converts a dynamic filter. Returns `None` if it names no column, names a column whose values have no order, or is
/// volatile.
///
/// `converter` converts the parts that Vortex may evaluate on statistics.
pub(crate) fn convert(
    filter: &Arc<dyn PhysicalExpr>,
    schema: &Schema,
    converter: &dyn ExpressionConverter,
    trust: Trust,
    counts: &DynamicFilterCounts,
) -> Result<Option<Expression>> {
    let columns = columns_of(filter, schema)?;
    let has_no_order = columns.fields().iter().any(|field| !is_ordered(field.data_type()));
    if columns.fields().is_empty() || has_no_order || is_volatile(filter) {
        return Ok(None);
    }
    let now = trust.current(filter)?;
    let mut conjuncts = now.map_or_else(Vec::new, |now| zone_hints(&now, &columns, schema, converter));
    let filter = reassign_expr_columns(Arc::clone(filter), &columns)?;
    let arguments = columns.fields().iter().map(|field| get_item(field.name().as_str(), root()));
    let arguments: Vec<_> = arguments.collect();
    let options = rows::RowFilter::new(filter, columns, trust, counts.clone());
    conjuncts.push(rows::DynamicFilter.new_expr(options, arguments));
    Ok(and_collect(conjuncts))
}

/// Returns the columns that a filter names.
fn columns_of(filter: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Result<SchemaRef> {
    let mut columns: Vec<Column> = collect_columns(filter).into_iter().collect();
    columns.sort_unstable_by_key(Column::index);
    let indices: Vec<usize> = columns.iter().map(|column| schema.index_of(column.name())).collect::<Result<_, _>>()?;
    Ok(Arc::new(schema.project(&indices)?))
}

/// Returns what the current filter implies for each of its columns, as far as it can be evaluated on statistics.
fn zone_hints(
    now: &Arc<dyn PhysicalExpr>,
    columns: &Schema,
    schema: &Schema,
    converter: &dyn ExpressionConverter,
) -> Vec<Expression> {
    let hint = |field: &FieldRef| {
        let implied = implied::by(now, field.name())?;
        // A hint is optional: a predicate that cannot be converted is left out.
        let predicate = converter.try_convert(&implied, schema).ok().flatten()?;
        Some(zones::ZoneHint.new_expr(EmptyOptions, [predicate]))
    };
    columns.fields().iter().filter_map(hint).collect()
}
