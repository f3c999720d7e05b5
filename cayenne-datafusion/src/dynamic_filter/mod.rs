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
//! Both only ever drop rows that the operator above would drop too.

mod check;
mod domain;
mod implied;
mod rows;
mod runs;
mod zones;

use std::sync::Arc;

use arrow_schema::{Schema, SchemaRef};
use datafusion::error::Result;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{Column, DynamicFilterPhysicalExpr};
use datafusion::physical_expr::utils::{collect_columns, reassign_expr_columns};
use vortex::expr::{Expression, and_collect, get_item, root};
use vortex::scalar_fn::{EmptyOptions, ScalarFnVTableExt as _};
use vortex_datafusion::convert::ExpressionConverter;

pub(crate) use self::rows::DynamicFilterCounts;
pub(crate) use self::zones::register;

/// Says whether an expression is a filter that changes while the query runs.
pub(crate) fn is_dynamic(expr: &Arc<dyn PhysicalExpr>) -> bool {
    expr.downcast_ref::<DynamicFilterPhysicalExpr>().is_some()
}

/// Converts a dynamic filter, or returns `None` if it is about no column.
///
/// `converter` decides which parts Vortex may evaluate on statistics.
pub(crate) fn convert(
    filter: &Arc<dyn PhysicalExpr>,
    schema: &Schema,
    converter: &dyn ExpressionConverter,
    counts: &DynamicFilterCounts,
) -> Result<Option<Expression>> {
    let columns = columns_of(filter, schema)?;
    if columns.fields().is_empty() {
        return Ok(None);
    }
    let mut conjuncts = zone_hints(filter, &columns, schema, converter)?;
    let filter = reassign_expr_columns(Arc::clone(filter), &columns)?;
    let arguments = columns.fields().iter().map(|field| get_item(field.name().as_str(), root()));
    let arguments: Vec<_> = arguments.collect();
    let options = rows::RowFilter::new(filter, columns, counts.clone());
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
    filter: &Arc<dyn PhysicalExpr>,
    columns: &Schema,
    schema: &Schema,
    converter: &dyn ExpressionConverter,
) -> Result<Vec<Expression>> {
    let Some(dynamic) = filter.downcast_ref::<DynamicFilterPhysicalExpr>() else {
        return Ok(Vec::new());
    };
    let now = dynamic.current()?;
    let mut hints = Vec::new();
    for field in columns.fields() {
        if let Some(implied) = implied::by(&now, field.name())
            && let Some(hint) = converter.try_convert(&implied, schema)?
        {
            hints.push(zones::ZoneHint.new_expr(EmptyOptions, [hint]));
        }
    }
    Ok(hints)
}
