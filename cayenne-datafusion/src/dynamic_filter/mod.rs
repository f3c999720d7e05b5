//! Filters that arise while a query runs, taken down to the rows of a file.
//!
//! A hash join knows after its build side which keys can match, a top-k which values still count, and DataFusion hands
//! both to the scan as a filter whose expression changes. Vortex's own converter leaves such a filter alone. Here it
//! becomes two kinds of Vortex functions:
//!
//! - [`rows::DynamicFilter`] asks DataFusion's expression about the rows of a batch, before the other columns of the
//!   batch are decoded, and stops asking while nearly all rows pass;
//! - [`zones::ZoneHint`] carries what the filter says about one column when the file is opened, and is evaluated on
//!   zone statistics only, so that zones without a match are not decoded at all.
//!
//! Both only ever drop rows that the operator above would drop too. One operator cannot be trusted with that: the filter
//! that an aggregation makes for its minimum or maximum may rule out rows that another of its columns needs, because
//! DataFusion means it for the statistics of files. It looks like that of a top-k, so where a session has it switched on,
//! only filters of joins, which ask for keys, are taken ([`Trust`]).

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

/// Which dynamic filters are exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    /// All of them.
    All,
    /// Those that ask whether a key is among others, which only joins make.
    Members,
}

impl Trust {
    /// Returns what a session with these options makes.
    pub(crate) fn of(options: &ConfigOptions) -> Self {
        if options.optimizer.enable_aggregate_dynamic_filter_pushdown { Self::Members } else { Self::All }
    }

    /// Returns the filter as it stands now, if it can be trusted and rules anything out.
    fn current(self, filter: &Arc<dyn PhysicalExpr>) -> Result<Option<Arc<dyn PhysicalExpr>>> {
        let Some(dynamic) = filter.downcast_ref::<DynamicFilterPhysicalExpr>() else { return Ok(None) };
        let now = dynamic.current()?;
        let rules_out = now.downcast_ref::<Literal>().is_none_or(|literal| literal.value() != &true.into());
        Ok((rules_out && (self == Self::All || check::has_members(&now))).then_some(now))
    }
}

/// Says whether an expression is a filter that changes while the query runs.
pub(crate) fn is_dynamic(expr: &Arc<dyn PhysicalExpr>) -> bool {
    expr.downcast_ref::<DynamicFilterPhysicalExpr>().is_some()
}

/// Converts a dynamic filter, or returns `None` if it is about no column, about one whose values have no order, or gives
/// another answer each time.
///
/// `converter` decides which parts Vortex may evaluate on statistics.
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

/// Returns the columns a filter is about.
fn columns_of(filter: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Result<SchemaRef> {
    let mut columns: Vec<Column> = collect_columns(filter).into_iter().collect();
    columns.sort_unstable_by_key(Column::index);
    let indices: Vec<usize> = columns.iter().map(|column| schema.index_of(column.name())).collect::<Result<_, _>>()?;
    Ok(Arc::new(schema.project(&indices)?))
}

/// Returns what the filter says now about each of its columns, as far as statistics can tell.
fn zone_hints(
    now: &Arc<dyn PhysicalExpr>,
    columns: &Schema,
    schema: &Schema,
    converter: &dyn ExpressionConverter,
) -> Vec<Expression> {
    let hint = |field: &FieldRef| {
        let implied = implied::by(now, field.name())?;
        // The answer does not need it: what cannot be converted is left out.
        let predicate = converter.try_convert(&implied, schema).ok().flatten()?;
        Some(zones::ZoneHint.new_expr(EmptyOptions, [predicate]))
    };
    columns.fields().iter().filter_map(hint).collect()
}
