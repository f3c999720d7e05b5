//! Identifiers.

use datafusion::sql::sqlparser::ast::Ident;

/// Returns the name of an identifier as the planner normalises it.
pub(crate) fn name_of(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_ascii_lowercase() }
}
