//! Identifiers.

use datafusion::sql::sqlparser::ast::Ident;

/// Returns the name that an identifier stands for, as the planner takes it.
pub(crate) fn name_of(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_ascii_lowercase() }
}
