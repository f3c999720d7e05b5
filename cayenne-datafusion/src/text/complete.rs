//! All rewrites of a statement's syntax tree before it is planned.

use crate::text::{column_names, exponents, nested_values, row_values, using_columns};
use datafusion::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::sql::parser::Statement;

/// Rewrites syntax that DataFusion's planner does not support into syntax that it does.
pub(crate) fn complete(options: &ConfigOptions, statement: &mut Statement) -> Result<()> {
    if options.sql_parser.parse_float_as_decimal {
        exponents::as_floats(statement);
    }
    column_names::give(statement);
    using_columns::write_out(statement)?;
    nested_values::write_out(statement);
    row_values::write_out(statement)
}
