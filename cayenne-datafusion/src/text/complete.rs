//! All that is written out in a statement before it is planned.

use crate::text::{column_names, exponents, nested_values, row_values, using_columns};
use datafusion::config::ConfigOptions;
use datafusion::error::Result;
use datafusion::sql::parser::Statement;

/// Writes what DataFusion's planner does not know in terms of what it does.
pub(crate) fn complete(options: &ConfigOptions, statement: &mut Statement) -> Result<()> {
    if options.sql_parser.parse_float_as_decimal {
        exponents::as_floats(statement);
    }
    column_names::give(statement);
    using_columns::write_out(statement)?;
    nested_values::write_out(statement);
    row_values::write_out(statement)
}
